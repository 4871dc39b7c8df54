"""Every kind of value that has a file form."""

from __future__ import annotations

from omnireco._core.form import Form, add_form
from omnireco.files import bandit, data, evaluation, models, planning, ranker, response

__all__ = ["FORMS"]

FORMS: tuple[Form, ...] = tuple(
    form for room in (data, models, ranker, response, bandit, planning, evaluation) for form in room.FORMS
)
for _form in FORMS:
    add_form(_form)
