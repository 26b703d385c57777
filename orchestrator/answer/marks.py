"""How the status of a trial is marked where there is no room for a word."""

MARKS = {
    "collapsed": "†",
    "dimensional": "°",
    "diverged": "‡",
    "pruned": "✂",
    "failed": "!",
    "missing": "·",
    "running": "…",
    "stopped": "…",
}
MEANINGS = {"dimensional": "dimensional collapse"}
