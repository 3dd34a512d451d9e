"""One trial: images in, epochs out. Runs without Ray.

Rooms, from the ground up: `data` lists, opens, splits and decodes images; `evaluation` scores
predictions; `models` builds timm backbones and splits them where training begins; `inputs` feeds
them views of images; `training` runs a fine-tune; `inference` uses an exported model. Import from
a room, which loads what is asked for alone: torch and timm take seconds, `EpochReport` none.
"""
