// Verifies deliveries with npm's `standardwebhooks`: node verify.mjs deliveries.jsonl
//
// One delivery a line: {secret, headers, body}. Prints for each whether it was taken: 1 or 0.
import { readFileSync } from "node:fs";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

for (const line of readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean)) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log(1);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log(0);
  }
}
