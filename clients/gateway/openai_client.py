"""The openai package for Python, unmodified: chat, completions and responses, as JSON and as streams, and errors."""

import json
import os

import openai

scene = json.loads(os.environ["GATEWAY"])
client = openai.OpenAI(base_url=scene["gateway"] + "/v1", api_key="unused", max_retries=0)
model = scene["model"]
messages = [{"role": "user", "content": "lorem ip"}]
TEXT = "sum dolor sit amet, consectetur adipiscing elit, sed do eiusmod"


def chat_as_json():
    answer = client.chat.completions.create(model=model, messages=messages, temperature=0)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].message.annotations[0].url_citation.title == "lorem.txt"
    assert answer.usage.cost == "0"
    assert answer.openledger["contributors"][0]["share"] == 1


def chat_as_a_stream():
    stream = client.chat.completions.create(
        model=model, messages=messages, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0


def completions():
    ask = dict(model=model, prompt="the quick", temperature=0, max_tokens=10)
    assert client.completions.create(**ask).choices[0].text == " brown fox"
    assert "".join(c.choices[0].text for c in client.completions.create(**ask, stream=True)) == " brown fox"


def responses():
    ask = dict(model=model, input="lorem ip", temperature=0)
    response = client.responses.create(**ask)
    assert response.output_text == TEXT and response.status == "completed"
    events = list(client.responses.create(**ask, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == TEXT
    with client.responses.stream(**ask) as stream:
        assert stream.get_final_response().output_text == TEXT


def errors():
    for change, error in [
        ({"model": "gpt-9"}, openai.NotFoundError),
        ({"temperature": 9}, openai.BadRequestError),
        ({"max_tokens": 5000}, openai.BadRequestError),
    ]:
        try:
            client.chat.completions.create(**{"model": model, "messages": messages, **change})
        except error:
            continue
        raise AssertionError(f"{change} was answered")
    assert [m.id for m in client.models.list()] == [model]


for case in [chat_as_json, chat_as_a_stream, completions, responses, errors]:
    case()
    print(f"ok  openai {openai.__version__}: {case.__name__.replace('_', ' ')}")
