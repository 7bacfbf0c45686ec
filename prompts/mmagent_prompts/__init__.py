"""The prompt templates that come with mmagent: one Jinja file per task, read by `mmagent.prompts`.

What a template may use: `question` (text, empty when none was asked), `media` (what was given, in order; each
has `.label` and `.modality` and writes its own placeholder), one variable per modality that was given
(`image`), `shots` (each has `.question`, `.answer` and `.media`) and `choices`. What it may set: `stop` (the
text, or list of texts, that ends an answer), `drop` (what is taken off the end of an answer) and a macro
`answer(text)` (how an answer is written out; shots and the shot memory follow it).
"""
