"""Real Helm, without a cluster: renders or lints a chart as often as it is asked on standard input.

In:  {"chart": folder, "asked": [{"do": "render" | "lint", "files": [...], "values": {...}, "name": ..., "namespace": ...}]}
Out: for each, of a render {"files": {path: text}} or {"error": sentence}, of a lint {"errors": [sentence]}.
"""

import json
import sys

import helm_python as helm


def merged(under, over):
    """As helm does with several --values and --set; a null takes a key away."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            merged(under[key], value)
        else:
            under[key] = value
    return under


def answer(chart, asked):
    values = {}
    for name in asked["files"]:
        with open(name, encoding="utf-8") as file:
            merged(values, helm.values_from_yaml(file.read()))
    merged(values, asked["values"])
    if asked["do"] == "lint":
        messages = helm.lint(chart, values, strict=True, namespace=asked["namespace"])["messages"]
        return {"errors": [message["error"] for message in messages if message["severity"] > 1]}
    try:
        with helm.Chart.load(chart) as loaded:
            return {"files": loaded.render(values, name=asked["name"], namespace=asked["namespace"])}
    except helm.HelmError as error:
        return {"error": str(error)}


request = json.load(sys.stdin)
json.dump([answer(request["chart"], asked) for asked in request["asked"]], sys.stdout)
