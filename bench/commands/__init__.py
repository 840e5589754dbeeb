"""The command line: one file for each verb, and the rooms that they share.

``options``: options that several verbs have.  ``names``: what names on the command line stand for.  ``output``: where
results, progress and errors go.  ``application``: all verbs as one command, its exit status and its defaults.
Everything heavy is imported inside the functions of the verbs.
"""
