// SPDX-License-Identifier: Apache-2.0
/// Files: GGUF read, written and exported, packed matrices in it, EdgeRazor (Python)'s checkpoints,
/// packed layers of other checkpoints, and a teacher's likeliest tokens.
#pragma once

#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/awq.hpp>
#include <edgerazor/io/bitnet.hpp>
#include <edgerazor/io/compressed_tensors.hpp>
#include <edgerazor/io/edgerazor_checkpoint.hpp>
#include <edgerazor/io/edgerazor_linear.hpp>
#include <edgerazor/io/float4_float8.hpp>
#include <edgerazor/io/gemma.hpp>
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/gguf_format.hpp>
#include <edgerazor/io/gguf_import.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/io/gptq.hpp>
#include <edgerazor/io/hqq.hpp>
#include <edgerazor/io/mapped_file.hpp>
#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/io/top_k_file.hpp>
#include <edgerazor/io/top_k_writer.hpp>
#include <edgerazor/version.hpp>
