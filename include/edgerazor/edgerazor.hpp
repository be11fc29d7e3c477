// SPDX-License-Identifier: Apache-2.0
/// Everything: quantizers, packed matrices, kernels, distillation losses, and the readers and
/// writers of files.
#pragma once

#include <edgerazor/distill.hpp>
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/quant.hpp>
