from .hier_regularizer import HIERRegularizer
