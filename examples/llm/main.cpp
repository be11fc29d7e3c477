// SPDX-License-Identifier: Apache-2.0
/// llm, an application: a language model quantized, measured and run with edgerazor. See --help.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "demo_model.hpp"
#include "options.hpp"
#include <edgerazor/version.hpp>

namespace {

const char* const recipe_help =
    "w4, w2_79, w1_88, w1_58 (the paper's, each also with _a8_kv8 behind it), f16, bf16, f32, or "
    "none: as the file has "
    "it";

void add_model(CLI::App& command, std::string& model) {
  command.add_option("--model", model, "GGUF file of a Llama or Qwen3 decoder")
      ->required()
      ->type_name("FILE");
}

void add_quantize(CLI::App& command, llm::quantize_options& options) {
  command
      .add_option("--group", options.group,
                  "Columns that share a scale [256, or 64 where 256 does not divide]")
      ->check(CLI::Range(4, 65536))
      ->type_name("N");
  command
      .add_option("--ternary", options.ternary, "How ternary codes are stored: in 1.6 bits or in 2")
      ->check(CLI::IsMember({"ternary5", "ternary2"}))
      ->capture_default_str();
  command
      .add_option("--override", options.overrides,
                  "Format of the matrices whose GGUF names match, over the recipe's")
      ->type_name("PATTERN=FORMAT");
}

CLI::Option* add_recipe(CLI::App& command, std::string& recipe) {
  return command.add_option("--recipe", recipe, recipe_help)->type_name("NAME");
}

void add_run(CLI::App& command, llm::run_options& options) {
  options.threads = std::max(1u, std::thread::hardware_concurrency());
  command.add_option("--threads", options.threads, "Threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str()
      ->type_name("N");
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
  command
      .add_option("--prompt-tokens", options.prompt_tokens,
                  "Tokens of the timed prompt, at most what the context has room for")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--tokens", options.decoded_tokens, "Timed tokens decoded one by one")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--rounds", options.rounds, "Rounds of which the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--json", options.json, "Also write the figures there")->type_name("FILE");
  add_quantize(command, options.quantize);
  add_run(command, options.run);
}

void add_generate(CLI::App& program) {
  static llm::generate_options options;
  CLI::App& command = *program.add_subcommand("generate", "Print text that a model writes");
  add_model(command, options.model);
  CLI::Option* const prompt =
      command.add_option("--prompt", options.prompt, "What to say to it")->type_name("TEXT");
  CLI::Option* const chat =
      command.add_flag("--chat", options.chat, "A conversation on standard input, line by line");
  prompt->excludes(chat);
  command
      .add_flag("--raw", options.raw, "Continue the prompt as it stands, control tokens included")
      ->excludes(chat);
  command.add_option("--tokens", options.tokens, "At most so many tokens")
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--context", options.context, "Positions to keep memory for")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--temperature", options.how.temperature, "0: always the likeliest token")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--top-k", options.how.top_k, "Draw from the k likeliest tokens [all]")
      ->type_name("K");
  command
      .add_option("--top-p", options.how.top_p,
                  "Draw from the likeliest tokens of this probability together [all]")
      ->type_name("P");
  command.add_option("--seed", options.how.seed, "The same seed draws the same text")
      ->capture_default_str();
  add_recipe(command, options.quantize.recipe);
  add_quantize(command, options.quantize);
  add_run(command, options.run);
  command.callback([prompt, chat] {
    if (prompt->empty() && chat->empty()) throw CLI::RequiredError("--prompt or --chat");
    llm::generate(options);
  });
}

void add_convert(CLI::App& program) {
  static llm::convert_options options;
  CLI::App& command =
      *program.add_subcommand("convert", "Write a model quantized, or as other engines read it");
  add_model(command, options.model);
  CLI::Option* const recipe = add_recipe(command, options.quantize.recipe);
  command.add_option("--output", options.output, "GGUF file to write")
      ->required()
      ->type_name("FILE");
  CLI::Option* const exported =
      command
          .add_option("--export", options.exported,
                      "As ordinary tensors: f32, f16, bf16, q4_0, tq1_0 or tq2_0")
          ->type_name("TYPE");
  add_quantize(command, options.quantize);
  add_run(command, options.run);
  command.callback([recipe, exported] {
    if (recipe->empty() && exported->empty()) throw CLI::RequiredError("--recipe or --export");
    llm::convert(options);
  });
}

void add_compare(CLI::App& program) {
  static llm::compare_options options;
  CLI::App& command = *program.add_subcommand(
      "compare", "Table of what each recipe saves and costs, or what a quantized model has");
  add_model(command, options.model);
  command
      .add_option("--text", options.text,
                  "Text to measure on [a built-in one of some 2,200 tokens]")
      ->type_name("FILE");
  command.add_option("--window", options.window, "Tokens that are read in one go")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  command.add_option("--keep", options.keep, "Leave the converted models in this folder")
      ->type_name("FOLDER");
  add_race(command, options);
  command.callback([] { llm::compare(options); });
}

void add_bench(CLI::App& program) {
  static llm::bench_options options;
  CLI::App& command = *program.add_subcommand("bench", "Tokens a second of every recipe");
  CLI::Option_group& source = *command.add_option_group("model");
  source.add_option("--model", options.model, "GGUF file of a Llama or Qwen3 decoder")
      ->type_name("FILE");
  source
      .add_option("--geometry", options.shape,
                  "Random weights in a published shape: qwen3-0.6b, smollm2-135m, ...")
      ->type_name("NAME");
  source.require_option(1);
  add_race(command, options);
  command.callback([] { llm::bench(options); });
}

void add_make_demo_model(CLI::App& program) {
  static std::string output;
  CLI::App& command = *program.add_subcommand(
      "make-demo-model", "Write a small untrained model, to try the program with");
  command.add_option("FILE", output, "GGUF file to write")->required();
  command.callback([] {
    llm::make_demo_model(output);
    std::printf(
        "%s: an untrained model whose text is words strung together at random. It shows that "
        "everything works,\n"
        "and nothing about quality.\n",
        output.c_str());
  });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App program{"Quantizes, measures and runs language models with edgerazor.", "llm"};
  program.set_version_flag("--version", EDGERAZOR_VERSION);
  program.require_subcommand(1);
  add_generate(program);
  add_convert(program);
  add_compare(program);
  add_bench(program);
  add_make_demo_model(program);
  try {
    program.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "llm: %s\n", error.what());
    return 1;
  }
}
