// SPDX-License-Identifier: Apache-2.0
#include "option_groups.hpp"

#include <algorithm>
#include <string>
#include <thread>

namespace qad {

using support::add_number;

void add_text(CLI::App& command, run_options& o) {
  command
      .add_option("--text", o.text_files,
                  "UTF-8 text files to learn from [the King James Bible that the package "
                  "bible-kjv prints]")
      ->type_name("FILE...");
  add_number(command, "--split-block", o.split.block, support::positive,
             "Characters of the blocks in which the text is divided");
  add_number(command, "--split-every", o.split.every, {2, 0xffffffffu},
             "Every so many blocks one is kept for validation");
}

void add_shape(CLI::App& command, shape& s) {
  add_number(command, "--vocabulary", s.vocabulary, {257, 1 << 20},
             "Tokens that are learned from the text");
  add_number(command, "--hidden", s.hidden, {0, 1 << 20, true}, "Width of the model");
  add_number(command, "--layers", s.layers, {0, 1 << 20, true}, "Blocks");
  add_number(command, "--heads", s.heads, {0, 1 << 20, true}, "Query heads");
  add_number(command, "--kv-heads", s.kv_heads, {0, 1 << 20, true},
             "Heads with keys and values; divides --heads");
  add_number(command, "--head-size", s.head_size, {0, 1 << 20, true}, "Elements of a head, even");
  add_number(command, "--feed-forward", s.feed_forward, {0, 1 << 20, true},
             "Width between gate and down");
  add_number(command, "--context", s.context, {0, 1 << 20, true}, "Tokens of a training window");
}

void add_training(CLI::App& command, run_options& o) {
  training_options& t = o.training;
  add_number(command, "--steps", t.steps, support::positive, "Batches to learn from");
  add_number(command, "--learning-rate", t.learning_rate, support::positive_real<double>,
             "AdamW's, after the warm-up; then a cosine to a tenth");
  add_number(command, "--resume-with-learning-rate", o.resume_learning_rate,
             support::positive_real<double>,
             "Go on from the last checkpoint at this rate, which options.json notes");
  add_number(command, "--warmup", t.warmup_fraction, support::fraction,
             "Part of the steps in which the rate rises");
  add_number(command, "--weight-decay", t.weight_decay, support::not_negative_real<double>,
             "AdamW's, of matrices");
  add_number(command, "--clip", t.clip, support::positive_real<double>,
             "Largest norm of a gradient");
  add_number(command, "--sequences", t.sequences, {2, 0xffffffffu}, "Windows of a batch");
  add_number(command, "--shards", t.shards, {1, 1024},
             "Parts of a batch that threads and processes share; divides --sequences");
  add_number(command, "--seed", t.seed, support::any_seed, "The same seed trains the same model");
  command
      .add_option_function<std::string>(
          "--optimizer-state",
          [&t](const std::string& name) { t.moments = find_moment_type(name).value(); },
          "How AdamW keeps its means; bfloat16 takes half of their memory")
      ->check(CLI::IsMember({"float", "bfloat16"}))
      ->default_str("float");
}

void add_threads(CLI::App& command, training_options& t) {
  t.threads = std::clamp<std::size_t>(std::thread::hardware_concurrency() / t.processes(), 1,
                                      default_shards);
  add_number(command, "--threads", t.threads, {1, 64},
             "Threads of a process, of use as many as it has shards; they change no number");
}

void add_bookkeeping(CLI::App& command, run_options& o) {
  add_number(command, "--checkpoint-every", o.checkpoint_every, support::positive,
             "Steps that a kill loses at most");
  add_number(command, "--validation-tokens", o.validation_tokens, support::not_negative,
             "Tokens of the validation text to measure on; 0: all");
  add_number(command, "--evaluate-every", o.evaluate_every, support::not_negative,
             "Steps between measurements, of which the best keeps its weights; 0: none");
}

}  // namespace qad
