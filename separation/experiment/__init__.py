"""One recipe with its options: where its files lie and what each stage depends on."""
