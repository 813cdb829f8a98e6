// Makes the quizzes of the page answer; kdlib.quiz puts this into every quiz, and each one is set up once.
for (const quiz of document.querySelectorAll(".kd-quiz:not([data-ready])")) {
  const questions = [...quiz.querySelectorAll("fieldset")];
  const { key, count } = quiz.dataset;
  let first = {}; // number of a question: the option that was chosen first
  quiz.dataset.ready = "";
  for (const control of quiz.elements) control.dataset.lmSuppressShortcuts = ""; // JupyterLab's keys rest here: D D deletes no cell

  const keep = () => {
    try {
      localStorage.setItem(key, JSON.stringify(first));
    } catch {
      // this browser keeps nothing here: the tries last until the page is left
    }
  };
  const show = (option) => {
    const question = option.closest("fieldset");
    const mark = option.closest("label").querySelector("b");
    mark.textContent = option.dataset.mark;
    question.querySelector("[aria-live]").innerHTML = `<b>${option.dataset.mark}:</b> ${option.dataset.why}`;
    question.querySelector(".kd-see").hidden = false;
  };
  const total = () => {
    const right = questions.filter((question, number) => question.dataset.right === first[number]).length;
    quiz.querySelector("output").textContent = count.replace("{right}", right).replace("{all}", questions.length);
  };

  quiz.addEventListener("change", ({ target }) => {
    first[questions.indexOf(target.closest("fieldset"))] ??= target.value;
    show(target);
    keep();
    total();
  });
  quiz.addEventListener("reset", () => {
    first = {};
    for (const part of quiz.querySelectorAll("label b, [aria-live]")) part.replaceChildren();
    for (const part of quiz.querySelectorAll(".kd-see")) part.hidden = true;
    keep();
    total();
  });
  quiz.addEventListener("submit", (event) => event.preventDefault());
  // By themselves arrow keys choose, and a first try would be spent on the way. Here they move, and Space chooses.
  quiz.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || event.target.type !== "radio" || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const options = [...event.target.closest("fieldset").elements];
    options.at((options.indexOf(event.target) + step) % options.length).focus();
  });

  try {
    first = JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    // as above
  }
  for (const [number, place] of Object.entries(first)) {
    const option = questions[number].elements[place];
    option.checked = true;
    show(option);
  }
  total();
}
