"""What is settled before a trial runs: space, points, weights, images, cost."""
