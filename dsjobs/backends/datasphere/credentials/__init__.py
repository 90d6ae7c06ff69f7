"""Who dsjobs is to the service: one module for each kind of credentials, the order in which they are looked for (`search.py`),
and the keeper, which has a good token ready for many threads."""
