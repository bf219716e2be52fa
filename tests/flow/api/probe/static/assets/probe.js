// What the test asks of this page from outside, by name.
const api = "/api/v1";

async function send(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(api + path, options);
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

function watch(job, most) {
  return new Promise((resolve, reject) => {
    const numbers = [];
    const source = new EventSource(`${api}/jobs/${job}/events`);
    source.addEventListener("job", (event) => {
      numbers.push(Number(event.lastEventId));
      if (numbers.length >= most) {
        source.close();
        resolve(numbers);
      }
    });
    source.onerror = () => {
      source.close();
      reject(new Error("the stream ended"));
    };
  });
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("state").textContent = "ready";
});
