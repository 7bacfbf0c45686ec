"""Fine-tuning: the adapter of one sense learns from labelled examples, through a core that never changes.

`settings` says how, `rows` turns examples into what the core reads, `order` which rows make which step,
`loop` takes the steps, `checkpoint` lets them go on after a crash to the very same weights.
"""
