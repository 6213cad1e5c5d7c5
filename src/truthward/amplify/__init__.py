"""Amplification: how many events a generated sample is worth, measured on a known target and stated for a surrogate."""

from truthward.amplify.spread import member_covariance
from truthward.amplify.stage import amplify_stage, draw_chunk, gather_chunks
from truthward.amplify.study import amplification_study

__all__ = ["amplification_study", "amplify_stage", "draw_chunk", "gather_chunks", "member_covariance"]
