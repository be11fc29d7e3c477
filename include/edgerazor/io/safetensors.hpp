// SPDX-License-Identifier: Apache-2.0
/// safetensors files: read, by the file or by the folder, and written. Needs nlohmann/json (3.11).
#pragma once

#include <edgerazor/io/safetensors_dtype.hpp>
#include <edgerazor/io/safetensors_files.hpp>
#include <edgerazor/io/safetensors_reader.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>
#include <edgerazor/io/safetensors_writer.hpp>
