"""What a form was refused for: told at its field, with everything that was typed still there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from markupsafe import Markup

_TOP = Markup("<!-- what was refused -->")  # nobody can type this into a page: it would be escaped
_TOLD = '<i class="ti ti-alert-circle" aria-hidden="true"></i>{}'
_AT_TOP = Markup(f'<p class="problem" role="alert">{_TOLD}</p>')
_BESIDE = Markup(f'<span class="problem" role="alert" id="fault-{{}}">{_TOLD}</span>')


@dataclasses.dataclass(slots=True)
class Mistake:
    """A refusal as the page of its form shows it.

    said is its sentence, "" where nothing was refused. field is the form's name for what it is about, form which of
    the page's forms was sent ("" where it has one), typed what was sent, status that of the answer. A template asks
    `marks` and `told` at each field; where it did so at none that is called field, the sentence stands where the
    template asks for `top`.
    """

    said: str = ""
    field: str | None = None
    form: str = ""
    typed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    status: int = 200
    is_told: bool = False

    def within(self, form: str) -> Mistake:
        """This one for the fields of the form that was sent, none for those of others."""
        return self if self.said and self.form == form else Mistake()

    def value(self, name: str, otherwise: object = "") -> object:
        """What was typed into a field, or what stands there if nothing was sent."""
        return self.typed.get(name, otherwise) if self.said else otherwise

    def marks(self, name: str) -> Markup:
        """The attributes of a field that is wrong; it is where the page opens."""
        if not self._is_of(name):
            return Markup("")
        mark = ' aria-invalid="true" aria-describedby="fault-{}" autofocus'
        return Markup(mark).format(name)

    def told(self, name: str) -> Markup:
        """The sentence beside the field that is wrong."""
        if not self._is_of(name):
            return Markup("")
        self.is_told = True
        return _BESIDE.format(name, self.said)

    def opened(self) -> Markup:
        """For the <details> that a form is folded into."""
        return Markup(" open") if self.said else Markup("")

    def top(self) -> Markup:
        """Where the sentence stands if it is about none of the page's fields."""
        return _TOP if self.said else Markup("")

    def placed(self, html: str) -> str:
        """The page once it is drawn. Raises ValueError if it says nowhere what was refused."""
        if not self.said:
            return html
        if self.is_told:
            return html.replace(_TOP, "", 1)
        if _TOP not in html:
            raise ValueError(f"this page has no place for what was refused: {self.said}")
        return html.replace(_TOP, _AT_TOP.format(self.said), 1)

    def _is_of(self, name: str) -> bool:
        return bool(self.said) and self.field == name
