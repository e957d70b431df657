"""Whether vtdl runs on this machine: checks by trade, and the examination that runs them.

torch is imported inside the checks: if it cannot be, that is a finding.
"""
