"""Writes the seed files of the configurations of Hugging Face models, one a feature.

    python3 make_hf_config_corpus.py tests/fuzz/corpus/hf_config
"""
import json
import pathlib
import sys

SIZES = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 96, "vocab_size": 128, "max_position_embeddings": 256, "rms_norm_eps": 1e-6}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}


def model(architecture, **more):
    return {"architectures": [architecture], **SIZES, **more}


def quantized(method, **more):
    return model("LlamaForCausalLM", quantization_config={"quant_method": method, **more})


def group(**weights):
    return {"targets": ["Linear", "re:.*down_proj$"], "weights": {"num_bits": 4, "type": "int", **weights}}


def seeds():
    yield "llama", model("LlamaForCausalLM", rope_theta=1e5, rope_scaling=None, tie_word_embeddings=True, mlp_bias=False,
                         attention_bias=True, bos_token_id=1, eos_token_id=[2, 3], pad_token_id=-1)
    yield "llama3", model("LlamaForCausalLM", rope_theta=500000.0, rope_scaling=LLAMA3)
    yield "linear", model("LlamaForCausalLM", rope_scaling={"type": "linear", "factor": 2.0})
    yield "qwen2", model("Qwen2ForCausalLM", use_sliding_window=True, sliding_window=16, max_window_layers=2)
    yield "qwen3", model("Qwen3ForCausalLM", head_dim=16, dtype="bfloat16",
                         rope_parameters={"rope_theta": 1e6, "rope_type": "default"}, layer_types=["full_attention"] * 4)
    yield "gemma3", model("Gemma3ForCausalLM", sliding_window=512, query_pre_attn_scalar=256, rope_parameters={
        "full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}})
    yield "smollm3", model("SmolLM3ForCausalLM", no_rope_layers=[1, 1, 1, 0])
    yield "bitnet", model("BitNetForCausalLM", hidden_act="relu2")
    yield "omni", {"architectures": ["Qwen2_5OmniForConditionalGeneration"], "thinker_config": {"text_config": SIZES}}
    yield "type-alone", {"model_type": "llama", **SIZES}
    yield "gptq", quantized("gptq", bits=4, group_size=128, desc_act=True, sym=True, checkpoint_format="gptq_v2",
                            dynamic={"-:.*\\.[01]\\..*": {}, "+:model.*": {"bits": 8, "group_size": -1}})
    yield "awq", quantized("awq", bits=4, group_size=64, version="GEMM", modules_to_not_convert=["lm_head"])
    yield "compressed-tensors", quantized(
        "compressed-tensors", format="pack-quantized", ignore=["lm_head", "re:(a|b)+[^c-d]?$"],
        config_groups={"g": group(symmetric=True, strategy="group", group_size=32)})
    yield "auto-round", quantized("auto-round", bits=4, packing_format="auto_round:auto_gptq",
                                  extra_config={"lm_head": {"bits": 16}})
    yield "hqq", quantized("hqq", quant_config={"weight_quant_params": {"nbits": 4, "group_size": 64, "axis": 1}})
    yield "modelopt", quantized("modelopt", quantization={"quant_algo": "NVFP4", "exclude_modules": ["*lm*head*"]})
    yield "fp8", quantized("fp8", weight_block_size=[128, 128])
    yield "bitnet-quantized", quantized("bitnet", linear_class="autobitlinear", quantization_mode="offline")
    yield "edgerazor", quantized("edgerazor", quant_mode="w1_58a8kv8", er_block_size=256)
    yield "edgerazor-older", model("Qwen3ForCausalLM", edgerazor_qconfig="w2_79a8kv8", quant_mode="w4a8")
    yield "unknown-method", quantized("bitsandbytes")
    yield "generation", {"bos_token_id": 1, "eos_token_id": [2, 3], "temperature": 0.6, "top_k": 20, "top_p": 0.95,
                         "do_sample": True, "stop_strings": ["a", "b"], "max_new_tokens": 100}


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for name, content in seeds():
        (folder / f"{name}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main(sys.argv[1])
