//! The order in which a role goes over a network's stages: the same for the parties, the dealer and the assistant, so
//! that what one sends is what another waits for.

/// A role's part in each step of a stage. Those of a stage that lacks what the step is for do nothing.
pub(crate) trait Steps<E> {
    /// The stage's bilinear map, with the average pooling that belongs to it.
    fn map(&mut self, stage: usize) -> Result<(), E>;
    /// Max pooling of what the map makes.
    fn max_pool(&mut self, stage: usize) -> Result<(), E>;
    /// The activation.
    fn activation(&mut self, stage: usize) -> Result<(), E>;
    /// The gradient by the stage's weights and biases, from that by its output.
    fn weight_gradient(&mut self, stage: usize) -> Result<(), E>;
    /// The gradient by the stage's input, from that by its output.
    fn input_gradient(&mut self, stage: usize) -> Result<(), E>;
    /// The backward pass through the activation.
    fn activation_backward(&mut self, stage: usize) -> Result<(), E>;
    /// The backward pass through the max pooling.
    fn max_pool_backward(&mut self, stage: usize) -> Result<(), E>;
}

/// The forward pass over `stages` stages. Nothing but the loss follows the last one's map.
pub(crate) fn forward<E>(steps: &mut impl Steps<E>, stages: usize) -> Result<(), E> {
    for stage in 0..stages {
        steps.map(stage)?;
        if stage + 1 < stages {
            steps.max_pool(stage)?;
            steps.activation(stage)?;
        }
    }
    Ok(())
}

/// The backward pass over `stages` stages, from the gradient by the last one's output. The first one's input is data,
/// by which no gradient is asked.
pub(crate) fn backward<E>(steps: &mut impl Steps<E>, stages: usize) -> Result<(), E> {
    for stage in (0..stages).rev() {
        steps.weight_gradient(stage)?;
        if stage > 0 {
            steps.input_gradient(stage)?;
            steps.activation_backward(stage - 1)?;
            steps.max_pool_backward(stage - 1)?;
        }
    }
    Ok(())
}
