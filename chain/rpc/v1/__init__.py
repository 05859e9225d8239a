"""The specification's groups of methods: chainHead, archive, transaction, transactionWatch, chainSpec."""
