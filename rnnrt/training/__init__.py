"""Training: the backward pass of a graph, the loop over batches, and what makes gradients visible."""
