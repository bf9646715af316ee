// Decodes answers with npm's `cloudevents`: node decode.mjs answers.jsonl
//
// One answer a line: {contentType, body}. Prints each event that the SDK made of it, a line each.
import { readFileSync } from "node:fs";
import { HTTP } from "cloudevents";

for (const line of readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean)) {
  const { contentType, body } = JSON.parse(line);
  const decoded = HTTP.toEvent({ headers: { "content-type": contentType }, body });
  for (const event of [decoded].flat()) {
    event.validate();
    console.log(JSON.stringify({ ...event.toJSON(), data: event.data }));
  }
}
