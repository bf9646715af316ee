"""Verifies deliveries with PyPI's `standardwebhooks`: python3 verify.py deliveries.jsonl

One delivery a line: {secret, headers, body}. Prints for each whether it was taken: 1 or 0.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

with open(sys.argv[1], encoding="utf-8") as deliveries:
    for delivery in map(json.loads, deliveries):
        try:
            Webhook(delivery["secret"]).verify(delivery["body"], delivery["headers"])
            print(1)
        except WebhookVerificationError:
            print(0)
