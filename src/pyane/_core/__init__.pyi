"""
Native core of pyane. Import from pyane, not from here.
"""
from __future__ import annotations
from . import base
from . import mil
from . import chip
from . import engine
from . import train
__all__: list[str] = ['base', 'chip', 'engine', 'mil', 'train']
__version__: str = '0.1.0'
