"""One trial: images in, epochs out. Runs without Ray.

`sources` lists images, `survey` opens and splits them into a `dataset`, `pixels` decodes them once,
`augment` varies them; `weights` finds a backbone's start, `model` builds it, `schedule` sets its
learning rate, `finetune` trains it, `evaluate` scores it, `report` is what an epoch came to,
`predict` uses an export. Import what you need from its module: torch and timm take seconds,
`report` none.
"""
