# SPDX-License-Identifier: Apache-2.0
"""Renders the conversations of tests/data/chat_families.json with their templates by Jinja, as transformers does.

Usage: python3 make_chat_families.py chat_families.json    (in place; jinja2 alone is needed)

A case that a template refuses, or that cannot be rendered, gets `refused` with the reason instead of `rendered`.
strftime_now writes the data's `now`.
"""
import datetime
import json
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def to_json(value, indent=None):
    return json.dumps(value, ensure_ascii=False, indent=indent)


def main(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    now = datetime.datetime.fromisoformat(data["now"])
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = now.strftime
    for case in data["cases"]:
        family = data["families"][case["family"]]
        case.pop("rendered", None)
        case.pop("refused", None)
        try:
            case["rendered"] = environment.from_string(family["template"]).render(
                messages=case["messages"], tools=case.get("tools"), documents=None,
                add_generation_prompt=case["add_generation_prompt"], bos_token=family["control"][0])
        except jinja2.exceptions.TemplateError as reason:
            case["refused"] = str(reason)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
