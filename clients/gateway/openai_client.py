"""The openai and litellm packages for Python, unmodified: chat, completions and responses, as JSON and as streams, and errors.

GATEWAY is JSON with `gateway` (address), `model` and `key` (what is sent as the API key): a free gateway, or the signer of a prepaid key.
"""

import json
import os

import litellm
import openai

scene = json.loads(os.environ["GATEWAY"])
model, key, base = scene["model"], scene["key"], scene["gateway"] + "/v1"
client = openai.OpenAI(base_url=base, api_key=key, max_retries=0)
messages = [{"role": "user", "content": "lorem ip"}]
ask = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 48}


def chat():
    answer = client.chat.completions.create(**ask)
    text = answer.choices[0].message.content
    assert text and answer.usage.completion_tokens > 0
    assert answer.openledger["receipt"].startswith("0x")
    streamed, last = "", None
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        streamed += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        last = chunk
    assert streamed == text, (streamed, text)
    assert last.usage.completion_tokens == answer.usage.completion_tokens
    return text


def completions():
    asked = {"model": model, "prompt": "the quick", "temperature": 0, "max_tokens": 12}
    whole = client.completions.create(**asked).choices[0].text
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True) if chunk.choices)
    assert streamed == whole


def responses(text):
    asked = {"model": model, "input": "lorem ip", "temperature": 0, "max_output_tokens": 48}
    response = client.responses.create(**asked)
    assert response.output_text == text
    streamed = ""
    with client.responses.stream(**asked) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                streamed += event.delta
    assert streamed == text


def errors():
    try:
        client.chat.completions.create(**{**ask, "model": "gpt-9"})
        raise AssertionError("an unknown model was answered")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
    try:
        client.chat.completions.create(**{**ask, "max_tokens": 100_000})
        raise AssertionError("an answer past the context")
    except openai.BadRequestError as error:
        assert error.code == "context_length_exceeded"
    assert [listed.id for listed in client.models.list()] == [model]


def through_litellm(text):
    asked = {**ask, "model": "openai/" + model, "api_base": base, "api_key": key}
    assert litellm.completion(**asked).choices[0].message.content == text
    chunks = litellm.completion(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text


text = chat()
completions()
responses(text)
errors()
through_litellm(text)
print(f"openai {openai.__version__} and litellm: all pass")
