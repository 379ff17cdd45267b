"""What a run found, written for people: a report and a model card. Facts and figures in, pages out."""
