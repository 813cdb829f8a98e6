"""Names the language in the parameter that chooses among languages, so that kdlib looks for a column of languages.

caught: order_parameters
says: it looks for a column unless you say so
"""
# %% parameters
def report_parameters(data, transfer):
    return {"data": data, "transfer": transfer, "text_column": TEXT, "label_column": LABEL, "languages": [LANGUAGE],
            "layers": [0], "seeds": [0], "temperature": variant["temperature"], "profile": "quick"}


def command(parameters):
    line = ["kdlib", "report"]
    for name, value in parameters.items():
        line.append("--" + name.replace("_", "-") + "=" + (value if isinstance(value, str) else json.dumps(value)))
    return line
