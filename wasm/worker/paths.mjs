// What of a request's path the Worker has to know before the guest sees it.
//
// Owns reading it as the guest does. Refuses to know routes but the one whose body is read late.

const PARTITION = /^[a-z0-9][a-z0-9-]{0,62}$/;
const PUBLICATION = /^(\/p\/[^/]*)?\/events$/;
const IMPORT = /^(\/p\/[^/]*)?\/log\/import$/;

// `/p/{partition}/…`, else `main`: a name that can not be one is answered by the guest there.
export function partitionName(path) {
  if (!path.startsWith("/p/")) return "main";
  const name = path.slice(3).split("/", 1)[0];
  return PARTITION.test(name) ? name : "main";
}

// Dots and escapes are resolved as the guest resolves them, or it would get another's requests.
export function pathOf(url) {
  const path = url.slice(url.indexOf("/", url.indexOf("//") + 2)).split("?", 1)[0];
  return /%|\/\./.test(path) ? resolved(path) : path;
}

function resolved(path) {
  try {
    return new URL("http://host" + path).pathname.split("/").map(decodeURIComponent).join("/");
  } catch {
    return "/";
  }
}

// Whether this is the request whose body is read when the guest asks for it.
export function isImport(method, path) {
  return method === "POST" && IMPORT.test(path);
}

// Whether this is a request whose body may be longer than others.
export function isPublication(method, path) {
  return method === "POST" && PUBLICATION.test(path);
}
