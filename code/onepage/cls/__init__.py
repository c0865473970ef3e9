"""ResNet-18 on CIFAR-10: model, augmentation, training, evaluation, Grad-CAM."""
