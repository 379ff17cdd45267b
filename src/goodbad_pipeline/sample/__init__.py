"""The sample data set: cartoon characters that the project draws."""
