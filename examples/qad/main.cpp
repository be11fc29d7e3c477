// SPDX-License-Identifier: Apache-2.0
/// qad, an application: trains a small language model, and low-bit students of it. See --help.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "evaluate.hpp"
#include "experiment.hpp"
#include "export.hpp"
#include "run.hpp"
#include <edgerazor/version.hpp>

namespace {

namespace er = edgerazor;

const char* const recipe_help = "w4, w2_79, w1_88 or w1_58 (the paper's), int3, int2 or none";

void add_size(CLI::App& command, const std::string& name, std::size_t& value,
              const std::string& help) {
  command.add_option(name, value, help)
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
}

void add_rate(CLI::App& command, const std::string& name, double& value, const std::string& help) {
  command.add_option(name, value, help)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("X");
}

void add_text(CLI::App& command, qad::run_options& o) {
  command
      .add_option("--text", o.text_files,
                  "UTF-8 text files to learn from [the King James Bible that the package "
                  "bible-kjv prints]")
      ->type_name("FILE...");
  add_size(command, "--split-block", o.split.block,
           "Characters of the blocks in which the text is divided");
  add_size(command, "--split-every", o.split.every,
           "Every so many blocks one is kept for validation");
}

void add_shape(CLI::App& command, qad::shape& s) {
  add_size(command, "--vocabulary", s.vocabulary, "Tokens that are learned from the text");
  add_size(command, "--hidden", s.hidden, "Width of the model");
  add_size(command, "--layers", s.layers, "Blocks");
  add_size(command, "--heads", s.heads, "Query heads");
  add_size(command, "--kv-heads", s.kv_heads, "Heads with keys and values; divides --heads");
  add_size(command, "--head-size", s.head_size, "Elements of a head, even");
  add_size(command, "--feed-forward", s.feed_forward, "Width between gate and down");
  add_size(command, "--context", s.context, "Tokens of a training window");
}

void add_training(CLI::App& command, qad::training_options& t) {
  add_size(command, "--steps", t.steps, "Batches to learn from");
  add_rate(command, "--learning-rate", t.learning_rate,
           "AdamW's, after the warm-up; then a cosine to a tenth");
  add_rate(command, "--warmup", t.warmup_fraction, "Part of the steps in which the rate rises");
  add_rate(command, "--weight-decay", t.weight_decay, "AdamW's, of matrices");
  add_rate(command, "--clip", t.clip, "Largest norm of a gradient");
  add_size(command, "--sequences", t.sequences, "Windows of a batch");
  command.add_option("--seed", t.seed, "The same seed trains the same model")
      ->capture_default_str()
      ->type_name("N");
}

void add_threads(CLI::App& command, qad::training_options& t) {
  t.threads = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, qad::trainer::shards);
  command.add_option("--threads", t.threads, "Threads; they change no number")
      ->check(CLI::Range(std::size_t{1}, qad::trainer::shards))
      ->capture_default_str()
      ->type_name("N");
}

void add_bookkeeping(CLI::App& command, qad::run_options& o) {
  add_size(command, "--checkpoint-every", o.checkpoint_every, "Steps that a kill loses at most");
  command
      .add_option("--validation-tokens", o.validation_tokens,
                  "Tokens of the validation text to measure on [0: all]")
      ->capture_default_str()
      ->type_name("N");
}

/// A model of some 70,000 weights and a few steps: everything happens, nothing is learned.
void make_tiny(qad::run_options& o) {
  o.model = {.vocabulary = 320,
             .hidden = 64,
             .layers = 2,
             .heads = 4,
             .kv_heads = 2,
             .head_size = 16,
             .feed_forward = 128,
             .context = 32};
  o.training.steps = 24;
  o.training.sequences = 4;
  o.validation_tokens = 1024;
  o.checkpoint_every = 10;
}

void print_result(const std::string& name, const qad::quality& measured, bool has_teacher) {
  std::printf("%s: validation perplexity %.3f", name.c_str(), measured.perplexity);
  if (has_teacher) std::printf(", KL to the teacher %.4f nats", measured.divergence);
  std::printf("\n");
}

/// Reads the text that a run is to learn from, and notes where it is and what it was.
std::string claim_text(qad::run_options& o) {
  for (std::string& path : o.text_files) path = std::filesystem::absolute(path).string();
  std::string text = qad::read_text(o.text_files);
  o.text = qad::fingerprint(text);
  return text;
}

qad::corpus new_corpus(qad::run_options& o) {
  const std::string text = claim_text(o);
  qad::corpus result(qad::divide(text, o.split), o.model.vocabulary);
  o.model.vocabulary = result.tokenizer.size();
  return result;
}

void add_teacher(CLI::App& program) {
  static qad::run_options options;
  static std::string folder;
  options.training.steps = 1500;
  CLI::App& command =
      *program.add_subcommand("teacher", "Train a model in float32, or go on with it");
  command.add_option("--folder", folder, "Folder of the run")->required()->type_name("FOLDER");
  add_text(command, options);
  add_shape(command, options.model);
  add_training(command, options.training);
  add_threads(command, options.training);
  add_bookkeeping(command, options);
  command.callback([] {
    qad::require_valid(options.model);
    const qad::corpus text = new_corpus(options);
    const qad::run_result result = qad::perform_run(options, text, nullptr, folder, false);
    print_result(folder, result.measured, false);
  });
}

void add_student(CLI::App& program) {
  static qad::run_options options;
  static std::string folder, teacher_folder, how = "qad", recipe = "w1_88";
  static bool no_features = false;
  qad::training_options& t = options.training;
  t.learning_rate = 2e-3;
  CLI::App& command =
      *program.add_subcommand("student", "Train a low-bit student of a teacher, or go on with it");
  command.add_option("--folder", folder, "Folder of the run")->required()->type_name("FOLDER");
  command
      .add_option("--teacher", teacher_folder,
                  "Folder of the teacher, whose text and shape it takes")
      ->required()
      ->type_name("FOLDER");
  command
      .add_option("--method", how,
                  "qad: under the teacher; qat: from the text alone; rounding: the teacher's "
                  "weights as they are")
      ->check(CLI::IsMember({"qad", "qat", "rounding"}))
      ->capture_default_str();
  command.add_option("--recipe", recipe, recipe_help)->capture_default_str()->type_name("NAME");
  command
      .add_option("--logits-loss", t.logits_loss,
                  "qad: what brings the predictions to the teacher's")
      ->check(CLI::IsMember({"eakld", "forward", "reverse", "none"}))
      ->capture_default_str();
  command.add_flag("--no-features", no_features, "qad: without the loss between hidden states");
  add_rate(command, "--task-weight", t.task_weight, "qad: of the cross-entropy");
  add_rate(command, "--logits-weight", t.logits_weight, "qad: of the loss between predictions");
  add_rate(command, "--feature-weight", t.feature_weight, "qad: of the loss between hidden states");
  add_size(command, "--confidence-k", t.confidence_k,
           "eakld: likeliest tokens of which the teacher's entropy is taken");
  add_size(command, "--feature-layers", t.feature_layers,
           "qad: layers that the loss between hidden states selects");
  add_training(command, t);
  add_threads(command, t);
  add_bookkeeping(command, options);
  command.callback([] {
    const qad::trained_model teacher = qad::load_run(teacher_folder);
    options.model = teacher.options.model;
    options.split = teacher.options.split;
    options.text = teacher.options.text;
    options.text_files = teacher.options.text_files;
    options.teacher = qad::fingerprint(teacher);
    options.teacher_folder = std::filesystem::absolute(teacher_folder).string();
    options.training.how = how == "qad"   ? qad::method::qad
                           : how == "qat" ? qad::method::qat
                                          : qad::method::rounding;
    options.training.recipe = qad::recipe_name(recipe);
    options.training.features = !no_features;
    const qad::corpus text(qad::text_of(options), teacher.words);
    const qad::run_result result = qad::perform_run(options, text, &teacher, folder, false);
    print_result(folder, result.measured, true);
  });
}

/// The recipe that the user names, or the one a run was made with.
std::string recipe_of(const std::string& asked, const qad::trained_model& model) {
  return asked.empty() ? model.options.training.recipe : qad::recipe_name(asked);
}

void add_evaluate(CLI::App& program) {
  static std::string folder, recipe, text_output;
  static qad::training_options run;
  static std::size_t window = 0;
  CLI::App& command =
      *program.add_subcommand("evaluate", "Measure a trained model on the validation text");
  command.add_option("FOLDER", folder, "Folder of a run")->required();
  command
      .add_option("--recipe", recipe,
                  std::string{"Round to "} + recipe_help + " [as it was trained]")
      ->type_name("NAME");
  command.add_option("--window", window, "Tokens that are read in one go [the training window]")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command
      .add_option("--write-text", text_output,
                  "Also write the validation text there, for llm compare --text")
      ->type_name("FILE");
  add_threads(command, run);
  command.callback([] {
    qad::trained_model model = qad::load_run(folder);
    model.options.training.threads = run.threads;
    const qad::divided_text divided = qad::text_of(model.options);
    if (!text_output.empty()) qad::write_text_file(text_output, divided.validation);
    const qad::corpus text(divided, model.words);
    std::optional<qad::trained_model> teacher;
    if (!model.options.teacher_folder.empty()) {
      teacher.emplace(qad::load_run(model.options.teacher_folder));
      if (qad::fingerprint(*teacher) != model.options.teacher) {
        throw er::io_error("'" + model.options.teacher_folder +
                           "' is not the teacher any more that the run had");
      }
    }
    const std::string how = recipe_of(recipe, model);
    const qad::parameters* reference = teacher         ? &teacher->weights
                                       : how == "none" ? nullptr
                                                       : &model.weights;
    print_result(folder + ", " + how,
                 qad::measure(model.weights, how, reference, model.options, text, window),
                 reference != nullptr);
  });
}

void add_export(CLI::App& program) {
  static std::string folder, recipe, output, title = "qad";
  CLI::App& command =
      *program.add_subcommand("export", "Write a trained model to a GGUF file that llm runs");
  command.add_option("FOLDER", folder, "Folder of a run")->required();
  command.add_option("--output", output, "GGUF file to write")->required()->type_name("FILE");
  command
      .add_option("--recipe", recipe,
                  std::string{"Round to "} + recipe_help + " [as it was trained]")
      ->type_name("NAME");
  command.add_option("--name", title, "Name of the model in the file")
      ->capture_default_str()
      ->type_name("TEXT");
  command.callback([] {
    const qad::trained_model model = qad::load_run(folder);
    const std::size_t bytes =
        qad::export_model(model.weights, recipe_of(recipe, model), model.words, title, output);
    std::printf("%s: %.1f kB\n", output.c_str(), static_cast<double>(bytes) / 1000);
  });
}

void add_experiment(CLI::App& program) {
  static qad::experiment_options options;
  static bool tiny = false;
  options.teacher.training.steps = 1500;
  CLI::App& command = *program.add_subcommand(
      "experiment",
      "Teachers, rounding, QAT, QAD and the ablation for several seeds, and the table of it");
  command
      .add_option("--folder", options.folder,
                  "Folder of all runs; what is finished there is not done again")
      ->required()
      ->type_name("FOLDER");
  command
      .add_option("--teacher", options.teacher_folder,
                  "A trained teacher for all seeds, which then differ in their batches alone")
      ->type_name("FOLDER");
  add_size(command, "--seeds", options.seeds, "Seeds, beginning with 1");
  add_size(command, "--jobs", options.jobs, "Runs at a time, of one thread each");
  add_size(command, "--teacher-steps", options.teacher.training.steps,
           "Batches that a teacher learns from");
  add_rate(command, "--teacher-learning-rate", options.teacher.training.learning_rate,
           "AdamW's, of teachers");
  add_rate(command, "--teacher-weight-decay", options.teacher.training.weight_decay,
           "AdamW's, of teachers");
  add_size(command, "--student-steps", options.student_steps, "Batches that a student learns from");
  add_rate(command, "--student-learning-rate", options.student_learning_rate,
           "AdamW's, of students");
  add_rate(command, "--student-weight-decay", options.student_weight_decay, "AdamW's, of students");
  add_rate(command, "--feature-weight", options.feature_weight,
           "qad: of the loss between hidden states");
  add_size(command, "--sequences", options.teacher.training.sequences, "Windows of a batch");
  add_text(command, options.teacher);
  add_shape(command, options.teacher.model);
  add_bookkeeping(command, options.teacher);
  command.add_flag("--tiny", tiny,
                   "A model that learns nothing, in seconds; replaces shape and steps");
  command.callback([] {
    if (tiny) {
      make_tiny(options.teacher);
      options.student_steps = options.teacher.training.steps;
    }
    if (options.teacher_folder.empty()) {
      qad::require_valid(options.teacher.model);
      claim_text(options.teacher);
    }
    qad::perform_experiment(options);
  });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App program{
      "Trains a small Llama decoder, and low-bit students of it by rounding, QAT and QAD.", "qad"};
  program.set_version_flag("--version", EDGERAZOR_VERSION);
  program.require_subcommand(1);
  add_teacher(program);
  add_student(program);
  add_evaluate(program);
  add_export(program);
  add_experiment(program);
  try {
    program.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "qad: %s\n", error.what());
    return 1;
  }
}
