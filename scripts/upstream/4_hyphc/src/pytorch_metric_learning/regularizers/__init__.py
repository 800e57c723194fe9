from .hyphc_regularizer import HypHCRegularizer
