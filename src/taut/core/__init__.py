"""The nouns everybody passes around: dataclasses and protocols, no I/O, importing nothing of ours."""
