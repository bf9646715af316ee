"""Decodes answers with PyPI's `cloudevents`: python3 decode.py answers.jsonl

One answer a line: {contentType, body}. Prints each event that the SDK made of it, a line each. The
SDK knows no batches: of one it gets each member as the message that it would be alone.
"""

import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event

SINGLE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"

with open(sys.argv[1], encoding="utf-8") as answers:
    for answer in map(json.loads, answers):
        body = answer["body"]
        members = [body]
        if answer["contentType"] == BATCH:
            members = [json.dumps(member) for member in json.loads(body)]
        else:
            assert answer["contentType"] == SINGLE, answer["contentType"]
        for member in members:
            event = from_http_event(HTTPMessage({"content-type": SINGLE}, member.encode()))
            attributes = dict(event.get_attributes())
            attributes["time"] = attributes["time"].isoformat(timespec="milliseconds")
            print(json.dumps({**attributes, "data": event.get_data()}))
