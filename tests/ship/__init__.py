"""What is shipped beside the code: the image and the chart, made with the real tools."""
