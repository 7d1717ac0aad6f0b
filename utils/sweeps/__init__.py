"""What a pull request's sweep does, one module a job."""
