"""The hash chain over the history: whoever changes, removes, inserts or reorders a row of it afterwards is found out.

Nothing is hashed while people write. A sealer comes every few seconds and puts the new rows of `changes`, `change_sets`
and `security_events` under blocks (`audit_blocks`): each holds the hash of its rows and of the block before. The head,
the last block, is signed by a key that is not in the database; so rewriting the whole chain, or cutting its end, needs
the key too. `sealing`: makes blocks. `verifying`: proves them. `redacting`: the lawful ways to change sealed rows.
"""
