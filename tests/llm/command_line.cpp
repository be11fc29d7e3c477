// SPDX-License-Identifier: Apache-2.0
// What is typed is taken as it was meant, or refused by name before anything is written.
#include "llm/command_line.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "llm/checkpoint.hpp"
#include "llm/demo_model.hpp"
#include "llm/report.hpp"
#include "llm/temporary_folder.hpp"
#include "support/named_files.hpp"
#include "support/system.hpp"
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace er = edgerazor;

namespace {

/// The demo model, made once.
const std::string& demo_model() {
  static const temporary_folder folder;
  static const std::string path = [] {
    llm::make_demo_model(folder / "demo.gguf");
    return (folder / "demo.gguf").string();
  }();
  return path;
}

/// The sentence of arguments that are not understood.
std::string misunderstood(const std::vector<std::string>& arguments) {
  const support::outcome end = llm::run(arguments);
  CHECK(end.code == 2);
  return end.message;
}

/// The sentence of what is understood and fails.
std::string failure(const std::vector<std::string>& arguments) {
  const support::outcome end = llm::run(arguments);
  CHECK(end.code == 1);
  return end.message;
}

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE("'" << text << "' has no '" << part << "'");
  return found;
}

}  // namespace

TEST_CASE("numbers are read whole, in their range, or not at all") {
  std::size_t size = 7;
  for (const char* bad :
       {"", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "nan", "inf", "18446744073709551616",
        "99999999999999999999999999", "0", "4294967296", "1,000", "\xff"}) {
    CAPTURE(bad);
    CHECK_FALSE(support::read_number(bad, support::positive, size));
  }
  CHECK(support::read_number("0010", support::positive, size));
  CHECK(size == 10);  // never octal
  std::uint64_t seed = 0;
  CHECK(support::read_number("18446744073709551615", support::any_seed, seed));
  CHECK(seed == std::numeric_limits<std::uint64_t>::max());

  float real = 0;
  for (const char* bad : {"", "0,7", "nan", "-nan", "inf", "-inf", "1e39", "1e-60", "-0.1", "1.5x",
                          " 1", "1 ", "1e", "0x1p3", "infinity", "NAN(1)", "--1"}) {
    CAPTURE(bad);
    CHECK_FALSE(support::read_number(bad, support::not_negative_real<float>, real));
  }
  struct right {
    const char* text;
    float value;
  };
  for (const right& r : {right{"0", 0.0f},
                         {"0.75", 0.75f},
                         {"1e-45", 1e-45f},
                         {"3e38", 3e38f},
                         {".5", 0.5f},
                         {"2.", 2.0f}}) {
    CAPTURE(r.text);
    CHECK(support::read_number(r.text, support::not_negative_real<float>, real));
    CHECK(real == r.value);
  }
  CHECK(support::range_text(support::positive) == "more than 0 and at most 4294967295");
  CHECK(support::range_text(support::positive_real<double>) == "more than 0");
  CHECK(support::range_text(support::not_negative_real<float>) == "0 or more");
  CHECK(support::range_text(support::fraction) == "0 to 1");
}

TEST_CASE("every number of the command line is refused by name, with what was expected") {
  struct wrong {
    const char *command, *option, *value, *expected;
  };
  for (const wrong& w : {wrong{"generate", "--tokens", "-1", "expected 0 to 4294967295"},
                         {"generate", "--tokens", "18446744073709551615", "expected 0 to"},
                         {"generate", "--context", "0", "expected more than 0"},
                         {"generate", "--context", "-5", "expected more than 0"},
                         {"generate", "--temperature", "0,7", "expected 0 or more"},
                         {"generate", "--temperature", "nan", "expected 0 or more"},
                         {"generate", "--temperature", "inf", "expected 0 or more"},
                         {"generate", "--top-k", "-1", "expected 0 to"},
                         {"generate", "--top-p", "0", "expected more than 0 and at most 1"},
                         {"generate", "--top-p", "nan", "expected more than 0 and at most 1"},
                         {"generate", "--seed", "-1", "expected 0 or more"},
                         {"generate", "--threads", "0", "expected 1 to 1024"},
                         {"generate", "--group", "3", "expected 4 to 65536"},
                         {"calibrate", "--group", "6", "a multiple of 4"},
                         {"compare", "--window", "1", "expected 2 to 1048576"},
                         {"compare", "--rounds", "0", "expected 1 to 1000"},
                         {"compare", "--prompt-tokens", "-1", "expected more than 0"},
                         {"bench", "--tokens", "1e9", "expected more than 0"},
                         {"bench", "--prompt-tokens", "0", "expected more than 0"},
                         {"convert", "--threads", "\x1b[2J", "got '\\x1b[2J'"}}) {
    CAPTURE(w.option);
    CAPTURE(w.value);
    const std::string sentence =
        misunderstood({w.command, "--model", "none.gguf", w.option, w.value});
    CHECK(contains(sentence, std::string{w.option} + ": "));
    CHECK(contains(sentence, w.expected));
    CHECK(sentence.size() < 200);
    CHECK(er::printable(sentence, sentence.size()) == sentence);
  }
}

TEST_CASE("a mistyped sub-command is named, with the nearest") {
  CHECK(contains(misunderstood({"genrate", "--prompt", "hi"}),
                 "no sub-command is called 'genrate'; did you mean 'generate'?"));
  CHECK(contains(misunderstood({"compair"}), "did you mean 'compare'?"));
  const std::string far = misunderstood({"xyzzy"});
  CHECK(contains(far, "no sub-command is called 'xyzzy'; there are generate, convert"));
  CHECK(contains(misunderstood({std::string(100'000, 'x')}), "xxx...'"));
  CHECK(contains(misunderstood({}), "subcommand"));
  CHECK(contains(misunderstood({"convert", "--modle", "x"}), "'--modle'; did you mean '--model'?"));
}

TEST_CASE("an override that changes nothing says so") {
  const temporary_folder folder;
  const std::string output = (folder / "out.gguf").string();
  for (const char* pattern : {"*norm*=int8_g64", "blk.7.*=f16", "nothing=f32"}) {
    CAPTURE(pattern);
    CHECK(contains(failure({"convert", "--model", demo_model(), "--recipe", "w4", "--output",
                            output, "--override", pattern}),
                   "changes nothing"));
  }
  CHECK(folder.files() == 0);
  CHECK(llm::run({"convert", "--model", demo_model(), "--recipe", "w4", "--output", output,
                  "--override", "*ffn_down*=int8_g64"})
            .code == 0);
}

TEST_CASE("thoughts and tools are of the model's own chat template") {
  for (const std::string option : {"--no-thinking", "--tools=tools.json"}) {
    CAPTURE(option);
    const std::vector<std::string> asked{"generate", "--model", demo_model(),
                                         "--prompt", "Once",    option};
    CHECK(contains(failure(asked), "the model has no chat template"));
    for (const char* const other : {"--raw", "--template=inst"}) {
      std::vector<std::string> both = asked;
      both.emplace_back(other);
      CHECK(contains(misunderstood(both), "excludes"));
    }
  }
}

TEST_CASE("a cache that the machine can't hold is refused with its size") {
  const temporary_folder folder;
  const er::gguf_reader reader = er::gguf_reader::open(demo_model());
  er::gguf_writer writer;
  writer.set_u32("llama.context_length", 0xffffffffu);
  writer.copy_metadata(reader);
  for (const er::tensor_info& tensor : reader.tensors()) writer.copy_tensor(tensor);
  writer.write(folder / "long.gguf");
  const std::string sentence =
      failure({"generate", "--raw", "--model", (folder / "long.gguf").string(), "--prompt", "Once",
               "--context", "4294967295", "--tokens", "4294967295"});
  CHECK(contains(sentence, "4294967295 positions would take"));
  CHECK(contains(sentence, " GB"));
  CHECK(support::physical_memory() > 0);
}

TEST_CASE("a report that can't be written is known before the work, and what is there stays") {
  const temporary_folder folder;
  for (const char* command : {"compare", "bench"}) {
    CHECK(contains(failure({command, "--model", "missing.gguf", "--json",
                            (folder / "nowhere" / "x.json").string()}),
                   "can't create"));
  }
  std::ofstream(folder / "old.json") << "old";
  CHECK(contains(
      failure({"compare", "--model", "missing.gguf", "--json", (folder / "old.json").string()}),
      "missing.gguf"));
  CHECK(read_bytes(folder / "old.json").size() == 3);
}

TEST_CASE("no file is written over another that the command line names") {
  const temporary_folder folder;
  const std::string model = (folder / "f16.gguf").string(), out = (folder / "out").string();
  const std::string text = (folder / "text").string(), kept = folder.path.string();
  const std::vector<std::byte> bytes = read_bytes(demo_model());
  std::filesystem::copy_file(demo_model(), model);
  std::ofstream(text) << "text";
  const std::string same = (folder / "." / "out").string();
  std::filesystem::create_symlink("f16.gguf", folder / "link");
  const std::string link = (folder / "link").string();
  struct wrong {
    std::vector<std::string> arguments;
    std::string sentence;
  };
  for (const wrong& w :
       {wrong{{"calibrate", "--model", model, "--output", out, "--json", same},
              "--json '" + same + "' is the file that --output writes"},
        {{"calibrate", "--model", model, "--output", out, "--json", text, "--picture", text},
         "--picture '" + text + "' is the file that --json writes"},
        {{"calibrate", "--model", model, "--output", text, "--text", text},
         "--output '" + text + "' is the file that --text reads"},
        {{"calibrate", "--model", model, "--output", out, "--picture", link},
         "--picture '" + link + "' is the file that --model reads"},
        {{"inspect", "--model", model, "--json", link}, "is the file that --model reads"},
        {{"bench", "--model", model, "--json", model}, "is the file that --model reads"},
        {{"compare", "--model", model, "--also", text, "--json", text}, "that --also reads"},
        {{"compare", "--model", model, "--keep", kept}, "that --model reads"},
        {{"compare", "--model", demo_model(), "--keep", kept, "--json", model}, "--json writes"}}) {
    CAPTURE(w.sentence);
    CHECK(contains(failure(w.arguments), w.sentence));
    CHECK(read_bytes(model) == bytes);
    CHECK(read_bytes(text).size() == 4);
    CHECK(folder.files() == 3);
  }
  // A device takes what several write.
  if (std::filesystem::exists("/dev/null"))
    CHECK_NOTHROW(support::require_apart({{"--a", "/dev/null"}, {"--b", "/dev/null"}}, {}));
  llm::converted_models files{folder / "kept"};
  (void)files.add("rtn_4.63.gguf");
  CHECK_THROWS_WITH_AS((void)files.add("rtn_4.63.gguf"),
                       doctest::Contains("another row of the table"), std::invalid_argument);
}

TEST_CASE("no file is written over one that a model consists of") {
  const temporary_folder folder;
  const auto put = [&](const char* name) {
    std::ofstream(folder / name) << "kept";
    return (folder / name).string();
  };
  const std::string hf = folder.path.string(), config = put("config.json"),
                    shard = put("model-00002-of-00002.safetensors"), notes = put("notes.json"),
                    first = put("m-00001-of-00002.gguf"), second = put("m-00002-of-00002.gguf"),
                    other = put("m-00002-of-00003.gguf"), out = (folder / "out").string();
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"inspect", "--model", hf, "--json", config},
           {"bench", "--model", hf, "--json", shard},
           {"bench", "--model", config, "--json", shard},
           {"compare", "--model", hf, "--json", config},
           {"compare", "--model", demo_model(), "--also", first, "--json", second},
           {"calibrate", "--model", hf, "--output", shard},
           {"calibrate", "--model", first, "--output", second},
           {"calibrate", "--model", first, "--output", out, "--json", second}}) {
    CAPTURE(arguments.back());
    CHECK(contains(failure(arguments), "'" + arguments.back() + "' is the file that --"));
  }
  const auto names = [&](const std::string& model) {
    std::vector<std::string> all;
    for (const support::named_file& one : llm::parts_of_model("--model", model))
      all.push_back(one.path.string());
    std::ranges::sort(all);
    return all;
  };
  CHECK(names(hf) == std::vector{config, shard});
  CHECK(names(first) == std::vector{first, second});
  CHECK(names(other) == std::vector{other});
  CHECK(names(notes).empty());
  CHECK(names("").empty());
  CHECK(names((folder / "missing" / "m.gguf").string()).empty());
  CHECK(folder.files() == 6);
}

TEST_CASE("what holds a quantized model is named where another is wanted") {
  const temporary_folder folder;
  const std::string packed = (folder / "packed.gguf").string(), out = (folder / "out").string();
  REQUIRE(
      llm::run({"convert", "--model", demo_model(), "--recipe", "w4", "--output", packed}).code ==
      0);
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"convert", "--model", packed, "--recipe", "w4", "--output", out},
           {"calibrate", "--model", packed, "--output", out},
           {"off-grid", "--model", packed, "--output", out},
           {"compare", "--model", packed, "--recipes", "w4"}})
    CHECK(contains(failure(arguments), "'" + packed + "' holds a quantized model already; "));
  CHECK(folder.files() == 1);
}

TEST_CASE("a picture is named as what it holds") {
  CHECK(
      contains(misunderstood({"calibrate", "--model", "none.gguf", "--output", "out.gguf",
                              "--picture", "p.png"}),
               "'p.png' is not named like what it would hold: expected a name that ends in .svg"));
}

TEST_CASE("of several calibrations the last is refused before the first is made") {
  const temporary_folder folder;
  const std::vector<std::string> common{
      "compare", "--model", demo_model(), "--keep", folder.path.string(), "--tokens", "4"};
  const auto refused = [&](std::vector<std::string> more, const char* sentence) {
    more.insert(more.begin(), common.begin(), common.end());
    CHECK(contains(failure(more), sentence));
    CHECK_FALSE(std::filesystem::exists(folder / "rtn_5.00.gguf"));
    std::filesystem::remove(folder / "f16.gguf");
  };
  refused({"--methods", "rtn,tacq", "--bits", "5"}, "--method tacq needs --gradients");
  refused({"--methods", "rtn,awq", "--bits", "5", "--rotate"}, "--rotate: the method awq");
  refused({"--methods", "rtn,best", "--bits", "5"}, "no method is called 'best'");
  refused({"--methods", "rtn", "--bits", "5,1"}, "--bits 1.00 is less than");
}

TEST_CASE("options of calibration are for --methods, those of recipes are not") {
  for (const std::string option : {"--rotate", "--bits=4", "--gradients=x", "--calibration-text=x",
                                   "--calibration-windows=3"}) {
    CHECK(contains(misunderstood({"compare", "--model", "none.gguf", option}),
                   option.substr(0, option.find('=')) + " requires --methods"));
  }
  for (const std::string option : {"--recipes=w4", "--ternary=ternary2", "--override=x=y"}) {
    CHECK(contains(misunderstood({"compare", "--model", "none.gguf", "--methods", "rtn", option}),
                   "excludes"));
  }
}

TEST_CASE("a text that can't be read is refused with its path and the reason") {
  const temporary_folder folder;
  for (const char* name : {"missing", "."}) {
    CHECK(
        contains(failure({"compare", "--model", demo_model(), "--text", (folder / name).string()}),
                 "can't read '" + (folder / name).string() + "': "));
  }
}

TEST_CASE("a report is UTF-8, whatever the model is called") {
  const temporary_folder folder;
  llm::report_file report((folder / "out.json").string());
  report.write({{"model", "Mod\xe8le \xff"}, {"rows", {1, 2}}});
  std::ifstream file(folder / "out.json");
  const nlohmann::json read = nlohmann::json::parse(file);
  CHECK(read["model"] == "Mod\ufffdle \ufffd");
  CHECK(folder.files() == 1);
  CHECK_NOTHROW(llm::report_file("").write({}));
}

TEST_CASE("converted models are written and read back, and need no name") {
  const temporary_folder folder;
  llm::converted_models unnamed{{}}, kept{folder / "kept"};
  for (llm::converted_models* files : {&unnamed, &kept}) {
    const auto first = files->add("a.gguf"), second = files->add("b.gguf");
    er::gguf_writer writer;
    writer.set_string("general.architecture", "first");
    writer.write(first);
    writer.set_string("general.architecture", "second");
    writer.write(second);
    CHECK(er::gguf_reader::open(first).get_string("general.architecture") == "first");
    CHECK(er::gguf_reader::open(second).get_string("general.architecture") == "second");
  }
  CHECK(std::filesystem::exists(folder / "kept" / "a.gguf"));
}
