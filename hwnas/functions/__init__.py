"""What `import hwnas` gives as functions; the commands of the same names call them."""
