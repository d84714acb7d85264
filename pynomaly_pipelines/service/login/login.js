"use strict";

// Only a path of this host: "//elsewhere" and "/\elsewhere" lead away.
function wanted() {
  const next = new URLSearchParams(location.search).get("next") || "/dagster/";
  return /^\/(?![\/\\])/.test(next) ? next : "/dagster/";
}

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, problem = document.getElementById("problem");
  problem.textContent = "";
  form.querySelector("button").disabled = true;
  try {
    const answer = await fetch("/v1/auth/session", {
      method: "POST",
      credentials: "same-origin",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: form.elements.name.value, password: form.elements.password.value }),
    });
    if (answer.ok) {
      location.assign(wanted());
      return;
    }
    const told = await answer.json().catch(() => ({}));
    problem.textContent = told.detail || "That did not work (" + answer.status + ").";
  } catch {
    problem.textContent = "The service does not answer.";
  } finally {
    form.querySelector("button").disabled = false;
  }
});
