// SPDX-License-Identifier: Apache-2.0
#include "command_line.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "calibrated_grid.hpp"
#include "config_command.hpp"
#include "data_commands.hpp"
#include "evaluate.hpp"
#include "experiment.hpp"
#include "export.hpp"
#include "layer_form.hpp"
#include "llm/checkpoint.hpp"
#include "llm/model.hpp"
#include "method_options.hpp"
#include "option_groups.hpp"
#include "package_config.hpp"
#include "plot_command.hpp"
#include "quantization.hpp"
#include "run.hpp"
#include "stored_weights.hpp"
#include "student_data.hpp"
#include "support/named_files.hpp"
#include "support/system.hpp"
#include "text_file.hpp"
#include <edgerazor/version.hpp>

namespace qad {

namespace {

using support::add_number;

/// What the user asks for; each sub-command uses some of it.
struct request {
  run_options options;
  experiment_options experiment;
  training_options run;
  std::string folder, teacher_folder, start_folder, recipe, config, text_output, output,
      title = "qad";
  method_options method;
  student_data data;
  std::size_t window = 0, tokens = 0;
  bool tiny = false, profile = false, best = false;
};

const char* const recipe_help = "w4, w2_79, w1_88 or w1_58 (the paper's), int3, int2 or none";

/// A model of some 70,000 weights and a few steps: everything happens, nothing is learned.
void make_tiny(run_options& o) {
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

void print_result(const std::string& name, const quality& measured, bool has_teacher) {
  std::printf("%s: validation perplexity %.3f", er::printable(name, er::longest_path).c_str(),
              measured.perplexity);
  if (has_teacher) std::printf(", KL to the teacher %.4f nats", measured.divergence);
  std::printf("\n");
}

/// Reads the text that a run is to learn from, and notes where it is and what it was.
std::string claim_text(run_options& o) {
  for (std::string& path : o.text_files) path = std::filesystem::absolute(path).string();
  require_valid(o);
  std::string text = read_text(o.text_files);
  o.text = fingerprint(text);
  return text;
}

corpus new_corpus(run_options& o) {
  const std::string text = claim_text(o);
  corpus result(divide(text, o.split), o.model.vocabulary);
  o.model.vocabulary = result.tokenizer.size();
  return result;
}

void add_teacher(CLI::App& program, process_group* group) {
  const auto asked = std::make_shared<request>();
  run_options& options = asked->options;
  options.training.ranks = group;
  options.training.steps = 1500;
  CLI::App& command =
      *program.add_subcommand("teacher", "Train a model in float32, or go on with it");
  command.add_option("--folder", asked->folder, "Folder of the run")
      ->required()
      ->type_name("FOLDER");
  add_text(command, options);
  add_shape(command, options.model);
  add_training(command, options);
  add_threads(command, options.training);
  add_bookkeeping(command, options);
  command.callback([asked] {
    require_valid(asked->options);  // before the text is read
    const corpus text = new_corpus(asked->options);
    const run_result result = perform_run(asked->options, text, nullptr, asked->folder, false);
    print_result(asked->folder, result.measured, false);
  });
}

/// What a student takes over from its teacher, and defaults that depend on it: a model that exists
/// is moved by smaller steps than one that is new.
void take_teacher(run_options& o, const teacher_model& teacher, const CLI::App& command,
                  std::size_t tokens) {
  training_options& t = o.training;
  o.model = teacher.options.model;
  o.teacher = fingerprint(*teacher.weights);
  if (teacher.has_run) {
    for (const char* const own : {"--text", "--split-block", "--split-every"}) {
      if (command.count(own) != 0) {
        throw std::invalid_argument(std::string{own} +
                                    ": a teacher of this program brings its own text");
      }
    }
    o.split = teacher.options.split;
    o.text = teacher.options.text;
    o.text_files = teacher.options.text_files;
    if (t.window == 0) t.window = teacher.options.training.window;
    if (t.group == 0) t.group = group_columns;
  } else {
    if (t.window == 0) t.window = std::min<std::size_t>(256, o.model.context);
    if (t.group == 0) t.group = llm::default_group(geometry_of(o.model));
    if (command.count("--learning-rate") == 0) t.learning_rate = 5e-5;
    if (command.count("--weight-decay") == 0) t.weight_decay = 0.01;
    if (command.count("--sequences") == 0) t.sequences = 4;
  }
  const std::size_t tokens_a_step = t.sequences * window_of(o.model, t);
  if (tokens != 0) t.steps = (tokens + tokens_a_step - 1) / tokens_a_step;
}

/// What a student starts from in place of its teacher. Throws std::invalid_argument where it is not
/// the same decoder with other weights.
teacher_model claim_start(run_options& o, const request& asked, const teacher_model& teacher) {
  teacher_model start = open_teacher(asked.start_folder);
  if (!(start.options.model == teacher.options.model) || start.words.tokens != teacher.words.tokens)
    throw std::invalid_argument("--start " + er::quoted(asked.start_folder, er::longest_path) +
                                ": a model of another shape or other tokens than the teacher");
  o.start = fingerprint(*start.weights);
  o.start_folder = std::filesystem::absolute(asked.start_folder).string();
  return start;
}

/// What a configuration of EdgeRazor (Python) says, in place of the options that it excludes.
void configure(const std::string& file, const shape& model, training_options& t) {
  const configured_training told = training_of(read_package_config(file), model.layers);
  if (told.group != 0 && told.kv_group != model.head_size) {
    throw std::invalid_argument(
        er::quoted(file, er::longest_path) + ": groups of " + std::to_string(told.kv_group) +
        " of the cache, and this trainer has those of a head, " + std::to_string(model.head_size));
  }
  t.how = told.distils ? method::qad : method::qat;
  if (told.group != 0) t.recipe = told.recipe, t.group = told.group;
  t.logits_loss = told.logits_loss;
  t.features = told.features;
  t.feature_form = features_by::absolute;
  t.task_weight = told.task_weight;
  t.logits_weight = told.logits_weight;
  t.feature_weight = told.feature_weight;
  t.confidence_k = told.confidence_k;
  t.feature_layers = told.feature_layers;
}

void add_student(CLI::App& program, process_group* group) {
  const auto asked = std::make_shared<request>();
  run_options& options = asked->options;
  training_options& t = options.training;
  t.ranks = group;
  asked->recipe = "w1_88";
  t.learning_rate = 2e-3;
  t.group = 0;
  CLI::App& command =
      *program.add_subcommand("student", "Train a low-bit student of a teacher, or go on with it");
  command.add_option("--folder", asked->folder, "Folder of the run")
      ->required()
      ->type_name("FOLDER");
  command
      .add_option("--teacher", asked->teacher_folder,
                  "Folder of a teacher's run, whose text and shape it takes; or a model that llm "
                  "reads: a GGUF file, a Hugging Face folder")
      ->required()
      ->type_name("PATH");
  command
      .add_option("--start", asked->start_folder,
                  "Where the student starts, of the same shape and tokens, when the teacher is a "
                  "packed model or a better one [the teacher]")
      ->type_name("PATH");
  add_text(command, options);
  asked->data.add_to(command);
  asked->method.add_to(command);
  command
      .add_option(
          "--recipe", asked->recipe,
          std::string{recipe_help} +
              "; calibrated: the formats, scales and zeros of the model that --start names, "
              "as llm calibrate wrote it")
      ->capture_default_str()
      ->type_name("NAME");
  command
      .add_option("--logits-loss", t.logits_loss,
                  "qad: what brings the predictions to the teacher's")
      ->check(CLI::IsMember({"eakld", "forward", "reverse", "none"}))
      ->capture_default_str();
  add_number(command, "--task-weight", t.task_weight, support::not_negative_real<double>,
             "qad: of the cross-entropy");
  add_number(command, "--logits-weight", t.logits_weight, support::not_negative_real<double>,
             "qad: of the loss between predictions");
  add_number(command, "--feature-weight", t.feature_weight, support::not_negative_real<double>,
             "qad: of the loss between hidden states");
  add_number(command, "--confidence-k", t.confidence_k, {2, 0xffffffffu},
             "eakld: likeliest tokens of which the teacher's entropy is taken");
  add_number(command, "--feature-layers", t.feature_layers, support::positive,
             "qad: layers that the loss between hidden states selects");
  command
      .add_option("--gamma-scope", t.gamma_scope,
                  "eakld: what shares a gamma, the blend of both divergences")
      ->check(CLI::IsMember({"batch", "sample", "token"}))
      ->capture_default_str();
  add_number(command, "--window", t.window, support::not_negative,
             "Tokens of a training window; 0: the teacher's, of a model that llm reads 256");
  add_number(command, "--group", t.group,
             {0, support::packed_group.most, false, support::packed_group.step},
             "Columns that share a scale; 0: 64, or of a model that llm reads what llm takes");
  add_number(command, "--tokens", asked->tokens, support::not_negative,
             "Tokens to learn from, in place of --steps");
  command.add_flag("--recompute", t.recompute,
                   "Less memory for a fifth more time: the states of blocks are computed twice");
  command.add_flag("--profile", asked->profile, "Tell where the time went");
  CLI::Option* const config =
      command
          .add_option("--config", asked->config,
                      "Configuration of EdgeRazor (Python), YAML or JSON: recipe and objective, in "
                      "place of the options above")
          ->type_name("FILE");
  for (const char* const name : {"--method", "--recipe", "--logits-loss", "--no-features",
                                 "--task-weight", "--logits-weight", "--feature-weight",
                                 "--feature-form", "--confidence-k", "--feature-layers", "--group"})
    config->excludes(command.get_option(name));
  for (const char* const name : {"--feature-weight", "--feature-form", "--feature-layers"})
    command.get_option("--top-k-file")->excludes(command.get_option(name));
  add_training(command, options);
  command.footer(
      "Of a teacher that llm reads, unless you say otherwise: --learning-rate 5e-5, --weight-decay "
      "0.01, --sequences 4.");
  command.get_option("--tokens")->excludes(command.get_option("--steps"));
  add_threads(command, t);
  add_bookkeeping(command, options);
  command.callback([asked, &options, &command] {
    const teacher_model teacher = open_teacher(asked->teacher_folder);
    take_teacher(options, teacher, command, asked->tokens);
    options.teacher_folder = std::filesystem::absolute(asked->teacher_folder).string();
    std::optional<teacher_model> start;
    if (!asked->start_folder.empty()) start.emplace(claim_start(options, *asked, teacher));
    asked->method.take(options, asked->recipe, !asked->data.top_k_file.empty(), command);
    claim_grids(options);
    if (!asked->config.empty()) configure(asked->config, options.model, options.training);
    if (!teacher.has_run) static_cast<void>(claim_text(options));
    const corpus text(text_of(options), teacher.words);
    std::optional<packed_batches> data = asked->data.claim(options, text.tokenizer);
    std::fprintf(stderr, "teacher: %s (%s)\n", options.teacher_folder.c_str(),
                 teacher.description.c_str());
    const run_result result =
        perform_run(options, text, teacher.weights.get(), asked->folder, false, asked->profile,
                    data ? &*data : nullptr, start ? start->weights.get() : nullptr);
    print_result(asked->folder, result.measured, true);
  });
}

/// The recipe that the user names, or the one a run was made with. Throws std::invalid_argument
/// where a run has none.
std::string recipe_of(const std::string& asked, const trained_model& model) {
  if (const method how = model.options.training.how; has_own_form(how) && !asked.empty()) {
    throw std::invalid_argument(std::string{"--recipe: a student of the method "} + name_of(how) +
                                " has a form of its own, and no recipe");
  }
  return asked.empty() ? model.options.training.recipe : recipe_name(asked);
}

/// What no output may replace: the run, and what it is measured with or goes on from.
std::vector<support::named_file> files_of(const std::string& folder, const run_options& options) {
  std::vector<support::named_file> files;
  const auto add = [&files](const std::filesystem::path& path) {
    files.push_back({"the run", path});
  };
  for (const std::string& run : {folder, options.teacher_folder, options.start_folder}) {
    if (run.empty()) continue;
    for (const support::named_file& of_model : llm::files_of_model("the run", run))
      files.push_back(of_model);
    for (const char* const name : {"options.json", "checkpoint", "best"})
      add(std::filesystem::path{run} / name);
  }
  for (const std::string& path : options.text_files) add(path);
  for (const std::string& path : options.data_files) {
    add(path);
    add(path.substr(0, path.rfind('=')));  // of FILE=WEIGHT
  }
  return files;
}

void add_evaluate(CLI::App& program) {
  const auto asked = std::make_shared<request>();
  CLI::App& command =
      *program.add_subcommand("evaluate", "Measure a trained model on the validation text");
  command.add_option("FOLDER", asked->folder, "Folder of a run")->required();
  command
      .add_option("--recipe", asked->recipe,
                  std::string{"Round to "} + recipe_help + " [as it was trained]")
      ->type_name("NAME");
  add_number(command, "--window", asked->window, support::positive,
             "Tokens that are read in one go [the training window]");
  command.add_flag("--best", asked->best, "The weights that were best, not the last");
  command
      .add_option("--write-text", asked->text_output,
                  "Also write the validation text there, for llm compare --text")
      ->type_name("FILE");
  add_threads(command, asked->run);
  command.callback([asked] {
    const std::string& folder = asked->folder;
    trained_model model = load_run(folder, asked->best);
    support::require_apart({{"--write-text", asked->text_output}}, files_of(folder, model.options));
    model.options.training.threads = asked->run.threads;
    const divided_text divided = text_of(model.options);
    if (!asked->text_output.empty()) write_text_file(asked->text_output, divided.validation);
    const corpus text(divided, model.words);
    std::optional<teacher_model> teacher;
    if (!model.options.teacher_folder.empty()) {
      teacher.emplace(open_teacher(model.options.teacher_folder));
      if (fingerprint(*teacher->weights) != model.options.teacher) {
        throw er::io_error(er::quoted(model.options.teacher_folder, er::longest_path) +
                           " is not the teacher any more that the run had");
      }
    }
    const std::string how = recipe_of(asked->recipe, model);
    const bool own = has_own_form(model.options.training.how);
    const std::unique_ptr<const layer_form> form =
        own ? make_form(model.options.model, model.options.training) : nullptr;
    const weight_pages<float>* reference = teacher         ? teacher->weights.get()
                                           : how == "none" ? nullptr
                                                           : &model.weights;
    print_result(folder + ", " + (own ? name_of(model.options.training.how) : how),
                 own ? measure(model.weights, *form, reference, model.options, text, asked->window)
                     : measure(model.weights, how, reference, model.options, text, asked->window),
                 reference != nullptr);
  });
}

void add_export(CLI::App& program) {
  const auto asked = std::make_shared<request>();
  CLI::App& command =
      *program.add_subcommand("export", "Write a trained model to a GGUF file that llm runs");
  command.add_option("FOLDER", asked->folder, "Folder of a run")->required();
  command.add_option("--output", asked->output, "GGUF file to write")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--recipe", asked->recipe,
                  std::string{"Round to "} + recipe_help + " [as it was trained]")
      ->type_name("NAME");
  command.add_flag("--best", asked->best, "The weights that were best, not the last");
  command.add_option("--name", asked->title, "Name of the model in the file")
      ->capture_default_str()
      ->type_name("TEXT");
  command.callback([asked] {
    const trained_model model = load_run(asked->folder, asked->best);
    support::require_apart({{"--output", asked->output}}, files_of(asked->folder, model.options));
    const std::string recipe = recipe_of(asked->recipe, model);
    const training_options& how = model.options.training;
    const bool formed = has_own_form(how.how) || recipe == calibrated_recipe;
    const std::size_t bytes =
        formed ? export_model(model.weights, *make_form(model.options.model, how),
                              recipe == calibrated_recipe ? recipe : name_of(how.how), model.words,
                              asked->title, asked->output)
               : export_model(model.weights, recipe, model.words, asked->title, asked->output,
                              how.group);
    std::printf("%s: %.1f kB\n", er::printable(asked->output, er::longest_path).c_str(),
                static_cast<double>(bytes) / 1000);
  });
}

void add_experiment(CLI::App& program) {
  const auto asked = std::make_shared<request>();
  experiment_options& options = asked->experiment;
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
  add_number(command, "--seeds", options.seeds, {1, 1000}, "Seeds, beginning with 1");
  add_number(command, "--jobs", options.jobs, {1, 256}, "Runs at a time, of one thread each");
  add_number(command, "--teacher-steps", options.teacher.training.steps, support::positive,
             "Batches that a teacher learns from");
  add_number(command, "--teacher-learning-rate", options.teacher.training.learning_rate,
             support::positive_real<double>, "AdamW's, of teachers");
  add_number(command, "--teacher-weight-decay", options.teacher.training.weight_decay,
             support::not_negative_real<double>, "AdamW's, of teachers");
  add_number(command, "--student-steps", options.student_steps, support::positive,
             "Batches that a student learns from");
  add_number(command, "--student-learning-rate", options.student_learning_rate,
             support::positive_real<double>, "AdamW's, of students");
  add_number(command, "--student-weight-decay", options.student_weight_decay,
             support::not_negative_real<double>, "AdamW's, of students");
  add_number(command, "--feature-weight", options.feature_weight,
             support::not_negative_real<double>, "qad: of the loss between hidden states");
  add_number(command, "--sequences", options.teacher.training.sequences, {2, 0xffffffffu},
             "Windows of a batch");
  add_text(command, options.teacher);
  add_shape(command, options.teacher.model);
  add_bookkeeping(command, options.teacher);
  command.add_flag("--tiny", asked->tiny,
                   "A model that learns nothing, in seconds; replaces shape and steps");
  command.callback([asked, &options] {
    if (asked->tiny) {
      make_tiny(options.teacher);
      options.student_steps = options.teacher.training.steps;
    }
    if (options.teacher_folder.empty()) {
      require_valid(options.teacher);
      claim_text(options.teacher);
    }
    perform_experiment(options);
  });
}

}  // namespace

support::outcome run(std::vector<std::string> arguments, process_group* group) {
  CLI::App program{
      "Trains a small Llama decoder, and low-bit students of it by rounding, QAT and QAD.", "qad"};
  program.set_version_flag("--version", EDGERAZOR_VERSION);
  program.require_subcommand(1);
  add_teacher(program, group);
  add_student(program, group);
  add_evaluate(program);
  add_export(program);
  add_experiment(program);
  add_data_commands(program);
  add_inspect_config(program);
  add_plot(program);
  if (group != nullptr && group->size() > 1) {
    for (CLI::App* const command : program.get_subcommands({})) {
      if (const std::string& name = command->get_name(); name != "teacher" && name != "student") {
        command->callback([name, size = group->size()] {
          throw std::invalid_argument(name + " is the work of one process, and " +
                                      std::to_string(size) + " were started");
        });
      }
    }
  }
  return support::run(program, std::move(arguments));
}

}  // namespace qad
