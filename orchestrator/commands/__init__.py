"""The commands of `orch`: words in, words out."""
