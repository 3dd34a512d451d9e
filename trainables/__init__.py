"""Data, models, training and inference of a single trial. Runs without Ray.

Packages, from the lowest layer up: `data` lists, opens, splits and decodes images; `evaluation`
scores predictions; `models` builds timm backbones and splits them where training begins; `inputs`
feeds them views of images; `training` runs a fine-tune; `inference` uses an exported model. Import
names from a package, not from its modules. The package then loads only what these names need; this
saves the seconds that torch and timm take to import.
"""
