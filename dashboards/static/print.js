// Prints the page when its button is pressed.
document.getElementById("print").addEventListener("click", () => window.print());
