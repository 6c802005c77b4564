"""What the black-box tests share: a server to run, a signer of its own, raw HTTP, a runner."""
