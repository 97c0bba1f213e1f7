// The technician's page: what changes is fetched again, a label is read by the camera, clocks are compared.
"use strict";

const near = document.querySelector("[data-now-from]");

// What is being pressed stays where it is until it is let go: a press that ends on another element is no click.
let isPressed = false;
addEventListener("pointerdown", () => { isPressed = true; }, true);
for (const end of ["pointerup", "pointercancel", "contextmenu", "blur"]) {
  addEventListener(end, () => setTimeout(() => { isPressed = false; }));
}

async function again() {
  const wait = Number(near.firstElementChild?.dataset.again || 10);
  await new Promise((done) => setTimeout(done, wait * 1000));
  if (!document.hidden) {
    try {
      const answer = await fetch(near.dataset.nowFrom, { redirect: "manual" });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (answer.ok) {
        const next = document.createElement("div");
        next.innerHTML = await answer.text();
        while (isPressed) await new Promise((done) => setTimeout(done, 50));
        const open = [...near.querySelectorAll("details[open]")].map((one) => one.id).filter(Boolean);
        const focused = near.contains(document.activeElement);
        if (!focused || wait < 10) {
          near.replaceChildren(...next.children);
          for (const id of open) document.getElementById(id)?.setAttribute("open", "");
        }
        near.classList.remove("lost");
      }
    } catch {
      near.classList.add("lost");
    }
  }
  again();
}
if (near) again();

for (const box of document.querySelectorAll("input[data-submit]")) {
  box.addEventListener("change", () => box.form.requestSubmit());
}

// A long number is typed in groups of four, as it stands on the customer's phone; what is missing is counted.
for (const field of document.querySelectorAll("input[data-grouped]")) {
  const most = Number(field.dataset.grouped);
  const count = field.parentElement.appendChild(document.createElement("small"));
  const group = () => {
    const digits = field.value.normalize("NFKC").replace(/\D/g, "");
    if (field.selectionStart === field.value.length) field.value = digits.replace(/(.{4})(?=.)/g, "$1 ");
    count.textContent = digits ? `${digits.length}/${most}` : "";
  };
  field.addEventListener("input", group);
  group();
}

// The camera, where the browser reads codes by itself.
if ("BarcodeDetector" in window && navigator.mediaDevices?.getUserMedia) {
  for (const button of document.querySelectorAll(".scan-label")) {
    button.hidden = false;
    button.addEventListener("click", () => look(button));
  }
}

async function look(button) {
  const video = button.closest("form").querySelector(".viewfinder");
  const field = document.getElementById(button.dataset.into);
  if (!video.hidden) { close(video); return; }
  const detector = new BarcodeDetector();
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    button.hidden = true;
    return;
  }
  video.hidden = false;
  await video.play();
  while (!video.hidden) {
    const [code] = await detector.detect(video).catch(() => []);
    if (code) {
      field.value = code.rawValue;
      close(video);
      if ("submit" in button.dataset) field.form.requestSubmit();
      return;
    }
    await new Promise((done) => setTimeout(done, 150));
  }
}

function close(video) {
  for (const track of video.srcObject?.getTracks() || []) track.stop();
  video.srcObject = null;
  video.hidden = true;
}

// How far the gateway's clock is from this phone's.
const clock = document.getElementById("clock");
const phone = document.getElementById("phone");
if (clock && phone) {
  const seconds = Math.round((Date.now() - Number(clock.dataset.now)) / 1000);
  const far = Math.abs(seconds);
  const parts = far < 120 ? `${far} s` : far < 7200 ? `${Math.round(far / 60)} min` : `${Math.round(far / 3600)} h`;
  const words = far < 3 ? phone.dataset.same : seconds > 0 ? phone.dataset.ahead : phone.dataset.behind;
  phone.textContent = words.replace("…", parts);
}
