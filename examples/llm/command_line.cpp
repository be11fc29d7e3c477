// SPDX-License-Identifier: Apache-2.0
#include "command_line.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>

#include "chat_template.hpp"
#include "convert.hpp"
#include "demo_model.hpp"
#include "options.hpp"
#include "support/system.hpp"
#include <edgerazor/version.hpp>

namespace llm {

namespace {

using support::add_number;

constexpr support::number_range<double> some_bits{0.5, 16};

const char* const recipe_help =
    "w4, w2_79, w1_88, w1_58 (the paper's, each also with _a8_kv8 behind it), f16, bf16, f32, or "
    "none: as the file has "
    "it";

const char* const model_help =
    "Hugging Face folder or GGUF file of a Llama, Qwen2 or Qwen3 decoder";

void add_model(CLI::App& command, std::string& model) {
  command.add_option("--model", model, model_help)->required()->type_name("PATH");
}

void add_quantize(CLI::App& command, quantize_options& options) {
  add_number(command, "--group", options.group, support::packed_group,
             "Columns that share a scale [256, or 64 where 256 does not divide]");
  command
      .add_option("--ternary", options.ternary,
                  "How ternary codes are stored: in 1.6 bits, 1.67 or 2")
      ->check(CLI::IsMember({"ternary5", "ternary3", "ternary2"}))
      ->capture_default_str();
  command
      .add_option("--override", options.overrides,
                  "Format of the matrices whose GGUF names match, over the recipe's")
      ->type_name("PATTERN=FORMAT");
}

CLI::Option* add_recipe(CLI::App& command, std::string& recipe) {
  return command.add_option("--recipe", recipe, recipe_help)->type_name("NAME");
}

void add_run(CLI::App& command, run_options& options) {
  options.threads = std::max(1u, std::thread::hardware_concurrency());
  add_number(command, "--threads", options.threads, {1, 1024}, "Threads");
  command
      .add_option("--kernel", options.kernel,
                  "Instruction set by name [$EDGERAZOR_KERNEL, else the fastest]")
      ->type_name("NAME");
}

template <class Options>
void add_race(CLI::App& command, Options& options) {
  command.add_option("--recipes", options.recipes, recipe_help)
      ->delimiter(',')
      ->capture_default_str();
  add_number(command, "--prompt-tokens", options.prompt_tokens, {0, 1 << 20, true},
             "Tokens of the timed prompt, at most what the context has room for");
  add_number(command, "--tokens", options.decoded_tokens, {0, 1 << 20, true},
             "Timed tokens decoded one by one");
  add_number(command, "--rounds", options.rounds, {1, 1000}, "Rounds of which the median counts");
  command.add_option("--json", options.json, "Also write the figures there")->type_name("FILE");
  add_quantize(command, options.quantize);
  add_run(command, options.run);
}

void add_generate(CLI::App& program) {
  const auto shared = std::make_shared<generate_options>();
  generate_options& options = *shared;
  CLI::App& command = *program.add_subcommand("generate", "Print text that a model writes");
  add_model(command, options.model);
  CLI::Option* const prompt =
      command.add_option("--prompt", options.prompt, "What to say to it")->type_name("TEXT");
  CLI::Option* const chat =
      command.add_flag("--chat", options.chat, "A conversation on standard input, line by line");
  prompt->excludes(chat);
  CLI::Option* const raw =
      command
          .add_flag("--raw", options.raw,
                    "Continue the prompt as it stands, control tokens included")
          ->excludes(chat);
  CLI::Option* const layout =
      command
          .add_option(
              "--template", options.layout,
              "Talk in this format, whatever the model's chat template says: " + layout_names())
          ->excludes(raw)
          ->type_name("NAME");
  command
      .add_option_function<std::string>(
          "--system", [&options](const std::string& text) { options.system = text; },
          "System message, in place of the chat template's")
      ->excludes(raw)
      ->type_name("TEXT");
  command
      .add_flag("--no-thinking", options.no_thinking,
                "Answers without thoughts, where the chat template has a switch for that")
      ->excludes(raw)
      ->excludes(layout);
  command
      .add_option("--tools", options.tools,
                  "JSON array of tools to offer, where the chat template takes them")
      ->excludes(raw)
      ->excludes(layout)
      ->type_name("FILE");
  add_number(command, "--tokens", options.tokens, support::not_negative, "At most so many tokens");
  add_number(command, "--context", options.context, support::positive,
             "Positions to keep memory for");
  add_number(command, "--temperature", options.how.temperature, support::not_negative_real<float>,
             "0: always the likeliest token");
  add_number(command, "--top-k", options.how.top_k, support::not_negative,
             "Draw from the k likeliest tokens; 0: from all");
  add_number(command, "--top-p", options.how.top_p, {0.0f, 1.0f, true},
             "Draw from the likeliest tokens of this probability together");
  add_number(command, "--seed", options.how.seed, support::any_seed,
             "The same seed draws the same text");
  add_recipe(command, options.quantize.recipe);
  add_quantize(command, options.quantize);
  add_run(command, options.run);
  command.callback([prompt, chat, shared] {
    if (prompt->empty() && chat->empty()) throw CLI::RequiredError("--prompt or --chat");
    generate(*shared);
  });
}

void add_convert(CLI::App& program) {
  const auto shared = std::make_shared<convert_options>();
  convert_options& options = *shared;
  CLI::App& command =
      *program.add_subcommand("convert", "Write a model quantized, or as other engines read it");
  add_model(command, options.model);
  CLI::Option* const recipe = add_recipe(command, options.quantize.recipe);
  command.add_option("--output", options.output, "GGUF file, or with --to folder, to write")
      ->required()
      ->type_name("PATH");
  CLI::Option* const target =
      command.add_option("--to", options.target, "Folder of that kind: " + folder_kind_names())
          ->type_name("KIND");
  CLI::Option* const exported =
      command
          .add_option("--export", options.exported,
                      "As ordinary tensors: f32, f16, bf16, q4_0, tq1_0 or tq2_0")
          ->type_name("TYPE");
  exported->excludes(target);
  add_quantize(command, options.quantize);
  add_run(command, options.run);
  command.callback([recipe, target, exported, shared] {
    if (recipe->empty() && exported->empty() && target->empty())
      throw CLI::RequiredError("--recipe, --export or --to");
    convert(*shared);
  });
}

void add_inspect(CLI::App& program) {
  const auto shared = std::make_shared<inspect_options>();
  inspect_options& options = *shared;
  CLI::App& command = *program.add_subcommand(
      "inspect", "What a model holds, what is copied exactly and what is refused");
  command.add_option("--model", options.model, model_help)->required()->type_name("PATH");
  command.add_option("--json", options.json, "Also write it there")->type_name("FILE");
  command.callback([shared] { inspect(*shared); });
}

constexpr const char* rotate_help =
    "Of calibration: every matrix is stored rotated by a Hadamard matrix, its input is rotated as "
    "the model runs, and single large columns disturb less";

void add_calibrate(CLI::App& program) {
  const auto shared = std::make_shared<calibrate_options>();
  calibrate_options& options = *shared;
  CLI::App& command = *program.add_subcommand(
      "calibrate", "Write a model quantized to so many bits, every matrix as it can bear it");
  add_model(command, options.model);
  add_number(command, "--bits", options.bits, some_bits,
             "Bits for each weight, the whole file counted");
  command.add_option("--output", options.output, "GGUF file to write")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--method", options.method,
                  "rtn, mse, gptq, refined, awq, hqq, spqr, tacq, slim or quarot: one format for "
                  "all; auto: to each matrix the format that the cost of rounding it asks for, and "
                  "refined")
      ->capture_default_str();
  command.add_flag("--rotate", options.rotate, rotate_help);
  command
      .add_option("--text", options.text,
                  "Text whose activations are looked at [a built-in one of some 14,000 tokens]")
      ->type_name("FILE");
  command
      .add_option(
          "--gradients", options.gradients,
          "What a loss says of the weights, as qad gradients writes it: auto decides by row "
          "then; tacq needs it")
      ->type_name("FILE");
  add_number(command, "--windows", options.windows, {1, 1 << 16}, "Pieces of the text");
  add_number(command, "--window", options.window, {16, 1 << 20}, "Tokens of each");
  add_number(command, "--group", options.group, support::packed_group,
             "Columns that share a scale");
  command.add_option("--picture", options.picture, "Bits and error by layer, as SVG")
      ->type_name("FILE")
      ->check([](const std::string& text) {
        const std::string kind = std::filesystem::path(text).extension().string();
        return kind.empty() || kind == ".svg"
                   ? std::string{}
                   : edgerazor::quoted(text, edgerazor::longest_path) +
                         " is not named like what it would hold: expected a name that ends in .svg";
      });
  command.add_option("--json", options.json, "Also write the figures there")->type_name("FILE");
  add_run(command, options.run);
  command.callback([shared] { calibrate(*shared); });
}

void add_off_grid(CLI::App& program) {
  const auto shared = std::make_shared<off_grid_options>();
  off_grid_options& options = *shared;
  CLI::App& command = *program.add_subcommand(
      "off-grid",
      "Write the same function with weights that no earlier rounding has put on a grid");
  add_model(command, options.model);
  add_number(command, "--seed", options.seed, support::any_seed,
             "The same seed writes the same file");
  command.add_option("--output", options.output, "GGUF file to write")
      ->required()
      ->type_name("FILE");
  command.callback([shared] { off_grid(*shared); });
}

void add_compare(CLI::App& program) {
  const auto shared = std::make_shared<compare_options>();
  compare_options& options = *shared;
  CLI::App& command = *program.add_subcommand(
      "compare", "Table of what each recipe saves and costs, or what a quantized model has");
  add_model(command, options.model);
  command
      .add_option("--text", options.text,
                  "Text to measure on [a built-in one of some 2,200 tokens]")
      ->type_name("FILE");
  add_number(command, "--window", options.window, {2, 1 << 20}, "Tokens that are read in one go");
  command
      .add_option("--also", options.also, "Quantized models made from this one, as further rows")
      ->delimiter(',')
      ->type_name("FILE");
  command
      .add_option("--methods", options.methods,
                  "Instead of recipes: models calibrated by these methods (auto, gptq, ...)")
      ->delimiter(',');
  command.add_flag("--rotate", options.rotate, rotate_help);
  command.add_option("--bits", options.bits, "Bits for each weight that each of them may take")
      ->delimiter(',')
      ->check([](const std::string& text) {
        double value = 0;
        return support::read_number(text, some_bits, value)
                   ? std::string{}
                   : edgerazor::quoted(text) + " is not a number of bits: expected " +
                         support::range_text(some_bits);
      })
      ->capture_default_str();
  command
      .add_option("--calibration-text", options.calibration_text,
                  "Text to calibrate on [a built-in one; never the text measured on]")
      ->type_name("FILE");
  command
      .add_option("--gradients", options.gradients,
                  "Of the methods auto and tacq: what a loss says of the weights, as qad gradients "
                  "writes it")
      ->type_name("FILE");
  add_number(command, "--calibration-windows", options.calibration_windows, {1, 1 << 16},
             "Pieces of it, of 512 tokens");
  command.add_option("--keep", options.keep, "Leave the converted models in this folder")
      ->type_name("FOLDER");
  add_race(command, options);
  CLI::Option* const methods = command.get_option("--methods");
  for (const char* const of_methods :
       {"--rotate", "--bits", "--calibration-text", "--gradients", "--calibration-windows"})
    command.get_option(of_methods)->needs(methods);
  for (const char* const of_recipes : {"--recipes", "--ternary", "--override"})
    methods->excludes(command.get_option(of_recipes));
  command.callback([shared] { compare(*shared); });
}

void add_bench(CLI::App& program) {
  const auto shared = std::make_shared<bench_options>();
  bench_options& options = *shared;
  CLI::App& command = *program.add_subcommand("bench", "Tokens a second of every recipe");
  CLI::Option_group& source = *command.add_option_group("model");
  source.add_option("--model", options.model, model_help)->type_name("PATH");
  source
      .add_option("--geometry", options.shape,
                  "Random weights in a published shape: qwen3-0.6b, smollm2-135m, ...")
      ->type_name("NAME");
  source.require_option(1);
  command.add_flag("--profile", options.profile,
                   "Show where a decoded token's time goes, and by how much threads wait");
  add_race(command, options);
  command.callback([shared] { bench(*shared); });
}

void add_make_demo_model(CLI::App& program) {
  const auto output = std::make_shared<std::string>();
  CLI::App& command = *program.add_subcommand(
      "make-demo-model", "Write a small untrained model, to try the program with");
  command.add_option("FILE", *output, "GGUF file to write")->required();
  command.callback([output] {
    make_demo_model(*output);
    support::print(edgerazor::printable(*output, edgerazor::longest_path) +
                   ": an untrained model whose text is words strung together at random. It shows "
                   "that everything works,\nand nothing about quality.\n");
  });
}

}  // namespace

support::outcome run(std::vector<std::string> arguments) {
  CLI::App program{"Quantizes, measures and runs language models with edgerazor.", "llm"};
  program.set_version_flag("--version", EDGERAZOR_VERSION);
  program.require_subcommand(1);
  add_generate(program);
  add_convert(program);
  add_inspect(program);
  add_calibrate(program);
  add_off_grid(program);
  add_compare(program);
  add_bench(program);
  add_make_demo_model(program);
  return support::run(program, std::move(arguments));
}

}  // namespace llm
